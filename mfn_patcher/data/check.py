"""Checks of a data set, to run before hours of training depend on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_patcher.data.advice import advise_on_shared_images, digests_of
from mfn_patcher.data.check_records import check_records
from mfn_patcher.data.check_verification import check_verification_set
from mfn_patcher.data.making.source import has_folders_of_images
from mfn_patcher.data.property_file import IMAGE_SIDE, Property, PropertyError, read_property
from mfn_patcher.data.recordio import RecordIOError
from mfn_patcher.data.verification_set import (
    DRAWN,
    DRAWN_RECIPE,
    NAMES,
    VerificationSet,
    VerificationSetError,
    read_verification_set,
    set_names,
)
from mfn_patcher.finding import Finding, Level
from mfn_patcher.progress import task

_SAMPLE, _QUICK_SAMPLE = 64, 16  # images
_FILES = ("train.rec", "train.idx", "property")


@dataclass(frozen=True)
class VerificationSetSize:
    """The size of a verification set."""

    images: int
    pairs: int


@dataclass(frozen=True)
class DataSetCheck:
    """The result of checking a data set.

    Attributes:
        directory: directory of the data set.
        identities: number of identities according to the record file or, failing that, to
            ``property``; None if unknown.
        images: number of training images; None if unknown.
        verification_sets: the verification sets that could be read, by name.
        findings: what was found, in the order of checking.
    """

    directory: Path
    identities: int | None
    images: int | None
    verification_sets: Mapping[str, VerificationSetSize]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level is not Level.ERROR for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the result as ``docs/schema/data-check.json`` describes it."""
        return {
            "directory": str(self.directory),
            "identities": self.identities,
            "images": self.images,
            "verification_sets": {
                name: {"images": size.images, "pairs": size.pairs}
                for name, size in self.verification_sets.items()
            },
            "findings": [finding.as_json() for finding in self.findings],
            "ok": self.ok,
        }


def check(directory: Path) -> DataSetCheck:
    """Check everything about a data set that can be checked in seconds.

    Args:
        directory: directory of the data set.

    Returns:
        The result. Whatever is wrong with the data set is a finding and raises nothing.
    """
    findings = _check_files(directory)
    if not directory.is_dir():
        return DataSetCheck(directory, None, None, {}, tuple(findings))
    properties = None
    if (directory / "property").exists():
        properties, finding = _check_property(directory)
        findings.append(finding)
    layout = None
    if all((directory / name).exists() for name in ("train.rec", "train.idx")):
        classes = properties.classes if properties else None
        with task("checking train.rec and its index"):
            layout, found = check_records(directory, classes, _SAMPLE)
        findings += found
    sizes, digests, found = _check_sets(directory)
    findings += found
    if layout and all(finding.level is not Level.ERROR for finding in findings):
        with task("looking for verification images in train.rec"):
            try:
                findings += advise_on_shared_images(directory, layout, digests)
            except RecordIOError as error:  # of a record that was not sampled
                findings.append(Finding(Level.ERROR, "train.rec", str(error), error.remedy))
    identities = layout.identities if layout else None
    if identities is None and properties:
        identities = properties.classes
    images = layout.images if layout else None
    return DataSetCheck(directory, identities, images, sizes, tuple(findings))


def _check_sets(
    directory: Path,
) -> tuple[dict[str, VerificationSetSize], dict[str, set[bytes]], list[Finding]]:
    """Return the sizes of the verification sets, digests of their images, and the findings."""
    present = set_names(directory)
    own = [name for name in present if name not in NAMES]
    sizes, digests = {}, {}
    findings: list[Finding] = []
    # Users who only have their own sets do not need the published ones.
    names = own if own == present else [*NAMES, *own]
    for path in (directory / f"{name}.bin" for name in names):
        with task(f"checking {path.name}"):
            pairs, found = _check_verification(path)
        findings += found
        if pairs:
            sizes[path.stem] = VerificationSetSize(len(pairs.images), len(pairs.same))
            digests[path.name] = digests_of(pairs.images)
    if not present:
        findings.append(
            Finding(
                Level.WARNING,
                "verification sets",
                "none found: training will not measure accuracy",
                f"Put at least one of {', '.join(NAMES)} beside train.rec, as <name>.bin, or draw "
                "pairs with `mfn-patch data make --pairs`.",
            )
        )
    elif present == [DRAWN]:
        findings.append(
            Finding(
                Level.OK,
                "verification sets",
                f"the recipe {DRAWN_RECIPE} measures {DRAWN}; with another, end the training "
                f"command with -- --target {DRAWN}",
            )
        )
    elif own == present:
        findings.append(
            Finding(
                Level.WARNING,
                "verification sets",
                f"the script measures {', '.join(own)} only if --target names it",
                f"End the training command with -- --target {','.join(own)}.",
            )
        )
    return sizes, digests, findings


def preflight(
    directory: Path, batch_size: int, targets: Sequence[str] = NAMES, workers: int = 1
) -> tuple[Finding, ...]:
    """Find what would stop the training script, now or hours from now; faster than `check`.

    Args:
        directory: directory of the data set.
        batch_size: images per batch over all devices of all workers.
        targets: names of the verification sets that the script will use.
        workers: number of workers, of which one verifies, with batches of its own part.

    Returns:
        Only the errors; none if training can start.
    """
    findings = _check_files(directory)
    if not directory.is_dir():
        return tuple(findings)
    images = {}
    if not findings:
        properties, finding = _check_property(directory)
        classes = properties.classes if properties else None
        layout, found = check_records(directory, classes, _QUICK_SAMPLE)
        findings += [finding, *found]
        if layout:
            images["train.rec"] = layout.images
    for path in (directory / f"{name}.bin" for name in targets):
        pairs, found = _check_verification(path)
        findings += found
        if pairs:
            images[path.name] = len(pairs.images)
    findings += _check_batch(images, batch_size, workers)
    return tuple(finding for finding in findings if finding.level is Level.ERROR)


def _check_batch(images: Mapping[str, int], batch_size: int, workers: int) -> Iterator[Finding]:
    """Find the files with fewer images than a batch; the script only verifies whole batches."""
    shared = {name: 1 if name == "train.rec" else workers for name in images}
    most = {name: count * shared[name] for name, count in images.items()}
    small = {name: limit for name, limit in most.items() if limit < batch_size}
    other_sets = "" if "train.rec" in small else ", or name other sets with -- --target"
    remedy = f"Pass --batch-size {min(small.values(), default=0)} or less{other_sets}."
    for name in small:
        batch = batch_size // shared[name]
        detail = f"{images[name]} images are fewer than a batch of {batch}"
        yield Finding(Level.ERROR, name, detail, remedy)


def _check_files(directory: Path) -> list[Finding]:
    if not directory.is_dir():
        remedy = "Give the directory that contains train.rec."
        return [Finding(Level.ERROR, "directory", f"{directory} is not a directory", remedy)]
    missing = [name for name in _FILES if not (directory / name).exists()]
    if len(missing) == len(_FILES) and has_folders_of_images(directory):
        remedy = f"Make a data set of it with `mfn-patch data make OUT {directory} --pairs 600`, "
        remedy += f"and fine-tune on OUT with --recipe {DRAWN_RECIPE}."
        detail = "contains folders of images, which is not a data set yet"
        return [Finding(Level.ERROR, "directory", detail, remedy)]
    below = sorted(path.parent for path in directory.glob("*/train.rec"))
    if len(missing) == len(_FILES) and below:
        detail = f"contains no data set itself, but {below[0]} is one"
        return [Finding(Level.ERROR, "directory", detail, f"Give {below[0]} instead.")]
    return [
        Finding(Level.ERROR, name, "is missing", "Copy what is missing here; training requires it.")
        for name in missing
    ]


def _check_property(directory: Path) -> tuple[Property | None, Finding]:
    try:
        found = read_property(directory)
    except PropertyError as error:
        return None, Finding(Level.ERROR, "property", str(error), error.remedy)
    if found.classes == 1:
        detail = "a single class: training learns nothing, because there is none to tell it from"
        remedy = "Add images of other people, and write the number of all classes."
        return found, Finding(Level.ERROR, "property", detail, remedy)
    size = f"{found.width}x{found.height}"
    if found.width == found.height == IMAGE_SIDE:
        return found, Finding(Level.OK, "property", f"{found.classes:,} classes, {size} images")
    return found, Finding(
        Level.ERROR,
        "property",
        f"the image size is {size}, not {IMAGE_SIDE}x{IMAGE_SIDE}",
        f"If the images are {IMAGE_SIDE}x{IMAGE_SIDE}, write {IMAGE_SIDE},{IMAGE_SIDE}; otherwise "
        "align the faces again at that size.",
    )


def _check_verification(path: Path) -> tuple[VerificationSet | None, list[Finding]]:
    if not path.exists():
        return None, [
            Finding(
                Level.WARNING,
                path.name,
                "is missing: the script skips it, so its accuracy is not measured",
                "Put what is missing beside train.rec to have it measured.",
            )
        ]
    try:
        pairs = read_verification_set(path)
    except VerificationSetError as error:
        return None, [Finding(Level.ERROR, path.name, str(error), error.remedy)]
    return pairs, check_verification_set(path.name, pairs)
