"""Making a data set from face images, in the layout that the training script reads.

Images are read, decoded and written once, in one pass. What is known only at its end, the number of
images, goes into the first record afterwards. So the memory does not grow with the images, except
for 50 bytes each to find duplicates and to write the identities.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_patcher.data.advice import advise_on_identities
from mfn_patcher.data.making.digests import Digests
from mfn_patcher.data.making.left_out import LeftOutFiles
from mfn_patcher.data.making.pairs import (
    Pair,
    PairError,
    choose_held_out,
    draw_pairs,
    read_pairs,
    spread_over_folds,
)
from mfn_patcher.data.making.photo import LeftOut, Photo, Reason, check_photos
from mfn_patcher.data.making.source import (
    Source,
    SourceError,
    has_folders_of_images,
    open_source,
)
from mfn_patcher.data.making.training_files import (
    IDENTITIES,
    LIST,
    TrainingFiles,
    identity_names,
)
from mfn_patcher.data.property_file import IMAGE_SIDE, write_property
from mfn_patcher.data.recordio import MOST_KEYS, Int64Array
from mfn_patcher.data.staging import staged
from mfn_patcher.data.verification_set import DRAWN, MINIMUM_PAIRS, write_verification_set
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Finding

LEFT_OUT = "left-out.tsv"
"""The file that lists what is left out and why; it is missing if nothing is."""

_MINIMUM_IDENTITIES = 2
_IN_A_PAIR = "has the same bytes as an image of someone in a verification pair"
_SET_NAME = re.compile(r"[A-Za-z0-9_-]+")


class MakeError(MfnPatchError):
    """A data set cannot be made from these images."""


@dataclass(frozen=True)
class Request:
    """What to make a data set from.

    Attributes:
        source: a folder with one folder per identity, or a list file.
        pairs: for each verification set, the path of a pair list or a number of pairs to draw.
        resize: scale square images of another size.
    """

    source: Path
    pairs: tuple[str, ...] = ()
    resize: bool = False


@dataclass(frozen=True)
class MadeSet:
    """A verification set that was written.

    Attributes:
        pairs: number of pairs.
        same: how many of them show the same person.
    """

    pairs: int
    same: int


@dataclass(frozen=True)
class MadeDataSet:
    """A data set that `make` wrote.

    Attributes:
        directory: directory of the data set.
        identities: number of identities to train on.
        images: number of images to train on.
        held_out: number of identities that are only in verification pairs.
        empty: number of identities without a usable image.
        left_out: number of files that are left out, by reason.
        contradictions: duplicates whose copies belong to different identities; they are among
            the files left out.
        findings: what `mfn-patch data check` will say about the identities as well.
        verification_sets: the verification sets, by name.
        files: paths of the files in `directory`.
    """

    directory: Path
    identities: int
    images: int
    held_out: int
    empty: int
    left_out: dict[Reason, int]
    contradictions: int
    findings: tuple[Finding, ...]
    verification_sets: dict[str, MadeSet]
    files: tuple[Path, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the result as ``docs/schema/data-make.json`` describes it."""
        return {
            "directory": str(self.directory),
            "identities": self.identities,
            "images": self.images,
            "held_out_identities": self.held_out,
            "empty_identities": self.empty,
            "left_out": {reason.value: self.left_out.get(reason, 0) for reason in Reason},
            "contradictions": self.contradictions,
            "findings": [finding.as_json() for finding in self.findings],
            "verification_sets": {
                name: {"pairs": made.pairs, "same": made.same}
                for name, made in self.verification_sets.items()
            },
            "files": [{"name": file.name, "bytes": file.stat().st_size} for file in self.files],
        }


def make(
    directory: Path, request: Request, *, on_progress: Callable[[int, int], None]
) -> MadeDataSet:
    """Make a data set; the same files always give the same bytes.

    People in verification pairs, and copies of their images, are left out of training.

    Args:
        directory: where to write. It may be missing, and must not contain a data set.
        request: what to make it from.
        on_progress: function that is called with the number of files done and their total.

    Raises:
        MakeError: There are too few images, or the directory contains a data set.
        SourceError: The source cannot be read.
        PairError: A pair list is invalid, or pairs cannot be drawn.
        ListEncodingError: A list is not UTF-8.
    """
    names = [_set_name(text) for text in request.pairs]
    if len(set(names)) < len(names):
        raise MakeError(
            f"two verification sets would be called {max(names, key=names.count)}",
            remedy="Give at most one number of pairs, and lists of different names.",
        )
    source = _open(directory, request.source)
    _check_places(directory, source, request)
    files = ("train.rec", "train.idx", *(f"{name}.bin" for name in names))
    files += (LIST, IDENTITIES, LEFT_OUT, "property")
    with (
        staged(directory, files, MakeError) as staging,
        LeftOutFiles(staging / LEFT_OUT) as left_out,
    ):
        run = _Run(source, request, left_out, on_progress)
        sets = run.write_sets(staging, dict(zip(names, request.pairs)))
        firsts, images = run.write_training(staging)
        identities = len(firsts)
        write_property(staging, identities)
    return MadeDataSet(
        directory=directory,
        identities=identities,
        images=images,
        held_out=len(run.held_out),
        empty=len(source.names) - len(run.held_out) - identities,
        left_out=dict(left_out.counts),
        contradictions=run.contradictions,
        findings=tuple(advise_on_identities(firsts, images, identity_names(directory, identities))),
        verification_sets=sets,
        files=tuple(directory / name for name in files if (directory / name).exists()),
    )


def _set_name(text: str) -> str:
    if text.isdecimal():
        if int(text) < MINIMUM_PAIRS:
            raise PairError(
                f"--pairs {text}: too few pairs to evaluate",
                remedy=f"Ask for {MINIMUM_PAIRS} or more.",
            )
        return DRAWN
    name = Path(text).stem
    if not _SET_NAME.fullmatch(name):
        raise PairError(
            f"{text} cannot name a verification set: the file becomes {name}.bin",
            remedy="Rename the list, using letters, digits, hyphens and underscores.",
        )
    return name


def _open(directory: Path, path: Path) -> Source:
    try:
        return open_source(path)
    except SourceError as error:
        if directory.is_file() or (directory.is_dir() and has_folders_of_images(directory)):
            raise MakeError(
                f"{error}; {directory}, where the data set would go, looks like the source",
                remedy="Name the data set first, then the source: "
                f"`mfn-patch data make {shlex.quote(str(path))} {shlex.quote(str(directory))}`.",
            ) from error
        raise


def _check_places(directory: Path, source: Source, request: Request) -> None:
    if request.source.is_dir() and directory.resolve().is_relative_to(request.source.resolve()):
        raise MakeError(
            f"{directory} is inside {request.source}, whose folders are identities",
            remedy="Give a directory elsewhere.",
        )
    keys = 1 + sum(source.counts) + len(source.names)
    if keys > MOST_KEYS:
        raise MakeError(
            f"{request.source} contains {sum(source.counts):,} files, which are too many: a record "
            f"file stores its keys as float32, which is exact up to {MOST_KEYS:,}",
            remedy="Make the data set from fewer images.",
        )


class _Run:
    """Making one data set: what the verification sets and the training files share.

    Attributes:
        held_out: identities that are only in verification pairs.
        contradictions: duplicates of an image of another identity.
    """

    _IN_PAIRS = 0  # where images have the number of their record, which starts at 1

    def __init__(
        self,
        source: Source,
        request: Request,
        left_out: LeftOutFiles,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._source = source
        self._resize = request.resize
        self._left_out = left_out
        self._on_progress = on_progress
        self._done = 0
        self._digests = Digests(0)
        self.held_out: set[int] = set()
        self.contradictions = 0

    def write_sets(self, staging: Path, wanted: Mapping[str, str]) -> dict[str, MadeSet]:
        """Write the verification sets, whose names and pairs are given."""
        source = self._source
        lists = {
            name: read_pairs(Path(text), source)
            for name, text in wanted.items()
            if not text.isdecimal()
        }
        paths = {path for pairs in lists.values() for pair in pairs for path in pair.paths}
        self.held_out.update(source.identities_of(paths).values())
        self._digests = Digests(sum(source.counts) + len(paths))
        sets = {}
        for name, text in wanted.items():
            pairs = lists[name] if name in lists else self._draw(int(text))
            pairs = spread_over_folds(pairs)
            images = self._images_of(pairs, text)
            same = [pair.same for pair in pairs]
            write_verification_set(staging / f"{name}.bin", images, same)
            sets[name] = MadeSet(len(pairs), sum(same))
        return sets

    def _draw(self, count: int) -> list[Pair]:
        chosen = choose_held_out(self._source.counts, count, self.held_out)
        self.held_out.update(chosen)
        people: dict[int, list[str]] = {identity: [] for identity in chosen}
        for identity, photo in self._photos(chosen):
            if self._digests.add(photo.digest, self._IN_PAIRS) is None:
                people[identity].append(photo.path)
            else:
                self._left_out.add(self._source.shown(photo.path), Reason.DUPLICATE, _IN_A_PAIR)
        if not any(people.values()) and self._left_out.first:
            raise MakeError(
                f"no image of the {len(people)} people whose pairs would be drawn is usable; the "
                f"first is {self._left_out.first}",
                remedy=self._remedy(),
            )
        return draw_pairs(list(people.values()), count)

    def _images_of(self, pairs: Sequence[Pair], where: str) -> Iterator[bytes]:
        numbered = ((pair.line, path) for pair in pairs for path in pair.paths)
        for line, photo in check_photos(numbered, resize=self._resize):
            if isinstance(photo, LeftOut):
                raise PairError(
                    f"line {line} of {where}: {self._source.shown(photo.path)} {photo.detail}",
                    remedy="Replace the image, or remove the pair.",
                )
            self._digests.add(photo.digest, self._IN_PAIRS)
            yield photo.content

    def write_training(self, staging: Path) -> tuple[Int64Array, int]:
        """Write the files to train on.

        Returns:
            Key of the first image of each identity, and the number of images.

        Raises:
            MakeError: There are too few identities.
        """
        source = self._source
        remaining = [number for number in range(len(source.names)) if number not in self.held_out]
        for name in source.strays:
            detail = "is not in the folder of an identity"
            self._left_out.add(source.shown(name), Reason.STRAY, detail)
        with TrainingFiles(staging) as files:
            for identity, photo in self._photos(remaining):
                shown = source.shown(photo.path)
                earlier = self._digests.add(photo.digest, files.next_key)
                if earlier is None:
                    files.add(identity, source.names[identity], shown, photo.content)
                    continue
                detail = _IN_A_PAIR
                if earlier != self._IN_PAIRS:
                    path, owner = files.image(earlier)
                    detail = f"has the same bytes as {path}"
                    if owner != identity:
                        self.contradictions += 1
                        detail += ", which belongs to another identity"
                self._left_out.add(shown, Reason.DUPLICATE, detail)
            if files.identities < _MINIMUM_IDENTITIES:
                raise self._too_few(files.identities)
            files.finish()
            return files.firsts, files.images

    def _photos(self, identities: Sequence[int]) -> Iterator[tuple[int, Photo]]:
        """Yield the usable images of some identities; note the others."""
        numbered = (
            (identity, path) for identity in identities for path in self._source.paths(identity)
        )
        total = sum(self._source.counts)
        for identity, photo in check_photos(numbered, resize=self._resize):
            self._done += 1
            self._on_progress(self._done, total)
            if isinstance(photo, Photo):
                yield identity, photo
            else:
                self._left_out.add(self._source.shown(photo.path), photo.reason, photo.detail)

    def _too_few(self, identities: int) -> MakeError:
        message = f"{identities} of {len(self._source.names)} identities are left to train on, and "
        message += f"there must be {_MINIMUM_IDENTITIES}"
        if self.held_out:
            message += f"; {len(self.held_out)} are in verification pairs"
        if self._left_out.first:
            message += f"; {self._left_out.total:,} files are left out, the first is "
            message += self._left_out.first
        return MakeError(message, remedy=self._remedy())

    def _remedy(self) -> str:
        counts, side = self._left_out.counts, f"{IMAGE_SIDE}x{IMAGE_SIDE}"
        if counts[Reason.WRONG_SIZE]:
            scale = "" if self._resize else ", or scale aligned ones with --resize"
            return f"Align the faces to {side} pixels{scale}."
        if counts[Reason.MISSING]:
            return (
                "Correct the paths in the list, which start at its folder. Separate the columns by "
                "tabs, and save it as UTF-8."
            )
        if counts[Reason.FOLDER]:
            return "Give a folder with one folder of images per identity, without folders in it."
        if counts[Reason.UNREADABLE]:
            return "Save the images as JPEG or PNG, one face each."
        if self.held_out:
            return "Add people, use fewer of them in pairs, or use pairs of other photos."
        return "Add people, with a folder of images each."
