"""The series: all patches of a project in their order, and the stacks that they form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.patchfile import parse_patch, read_text
from mfn_patcher.patching.project import SERIES, read_pin, read_upstream
from mfn_patcher.patching.sparse import pattern_of
from mfn_patcher.suggestion import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mfn_patcher.patching.patchfile import Patch
    from mfn_patcher.patching.project import Upstream

_REQUIRES = re.compile(r"(?P<stack>[a-z][a-z0-9]*) requires (?P<needed>[a-z][a-z0-9 ]*)")


@dataclass(frozen=True)
class Series:
    """The patches of a project, and what they are made for.

    Attributes:
        root: the project's folder.
        pin: the commit that the patches are made for.
        upstream: the repository that has this commit.
        patches: the patches, in order.
        requires: by the name of a stack, the stacks that it does not apply without.
    """

    root: Path
    pin: str
    upstream: Upstream
    patches: tuple[Patch, ...]
    requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def stacks(self) -> tuple[str, ...]:
        """The names of the stacks, in order."""
        return tuple(dict.fromkeys(patch.stack for patch in self.patches))

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all patched files, sorted."""
        return tuple(sorted({path for patch in self.patches for path in patch.paths}))

    @property
    def patterns(self) -> tuple[str, ...]:
        """The sparse checkout patterns of what a workspace contains."""
        return (*self.upstream.paths, *(pattern_of(path) for path in self.paths))

    def find(self, name: str | None = None) -> Patch:
        """Return a patch.

        Args:
            name: the name of the patch, or an unambiguous start of it such as ``recipe/0001``; None
                is the last patch.

        Raises:
            MfnPatchError: no patch has this name, or several have.
        """
        self._refuse_empty()
        if name is None:
            return self.patches[-1]
        found = [
            patch for patch in self.patches if name in (patch.name, patch.name[: -len(".patch")])
        ] or [patch for patch in self.patches if patch.name.startswith(name)]
        if len(found) != 1:
            names = ", ".join(patch.name for patch in found or self.patches)
            reason = "is ambiguous" if found else "is not in the series"
            raise MfnPatchError(
                f"patch {name!r} {reason}",
                remedy=(not found and self._closest(name)) or f"Use one of: {names}.",
            )
        return found[0]

    def _refuse_empty(self) -> None:
        if not self.patches:
            raise MfnPatchError(
                f"{self.root / SERIES} lists no patches",
                remedy="Make one of your edits with `mfn-patch new`, or use `mfn-patch import`.",
            )

    def _closest(self, name: str) -> str:
        stems = [patch.name[: -len(".patch")] for patch in self.patches]
        numbers = [stem.partition("-")[0] for stem in stems]
        return did_you_mean(name, [*numbers, *stems])

    def select(
        self, stacks: tuple[str, ...] = (), without: tuple[str, ...] = ()
    ) -> tuple[Patch, ...]:
        """Return some of the patches, in order.

        Args:
            stacks: the stacks to select, along with those that they require; empty selects all.
            without: the names of patches to leave out.

        Raises:
            MfnPatchError: a stack or patch does not exist.
        """
        for stack in stacks:
            self._refuse_empty()
            if stack not in self.stacks:
                raise MfnPatchError(
                    f"there is no stack {stack!r}",
                    remedy=did_you_mean(stack, self.stacks)
                    or f"Use one of: {', '.join(self.stacks)}.",
                )
        if stacks:
            stacks = (*stacks, *self.required(stacks))
        left_out = {self.find(name) for name in without}
        return tuple(
            patch
            for patch in self.patches
            if (not stacks or patch.stack in stacks) and patch not in left_out
        )

    def required(self, stacks: Iterable[str]) -> dict[str, str]:
        """Return the further stacks that `stacks` require, each with a stack that requires it."""
        asked = dict.fromkeys(stacks)
        found: dict[str, str] = {}
        waiting = list(asked)
        while waiting:
            stack = waiting.pop(0)
            for other in self.requires.get(stack, ()):
                if other not in asked and other not in found:
                    found[other] = stack
                    waiting.append(other)
        return found


def load_series(root: Path) -> Series:
    """Read the project at `root`.

    Raises:
        PatchFormatError: a file does not have the documented format; the first problem found.
    """
    patches = [parse_patch(root / "patches", name) for _, name in series_entries(root)]
    requires = {stack: needed for _, stack, needed in series_requirements(root)}
    return Series(root, read_pin(root), read_upstream(root), tuple(patches), requires)


def series_entries(root: Path) -> list[tuple[int, str]]:
    """Return line number, from 1, and name of each patch in ``patches/series``."""
    return [(number, line) for number, line in _lines(root) if not _REQUIRES.fullmatch(line)]


def series_requirements(root: Path) -> list[tuple[int, str, tuple[str, ...]]]:
    """Return line number, stack and required stacks of each "requires" in ``patches/series``."""
    found = ((number, _REQUIRES.fullmatch(line)) for number, line in _lines(root))
    return [(n, match["stack"], tuple(match["needed"].split())) for n, match in found if match]


def _lines(root: Path) -> list[tuple[int, str]]:
    # Unlike `str.splitlines`, git and quilt end a line only at a line feed.
    lines = read_text(root / SERIES).split("\n")
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]
