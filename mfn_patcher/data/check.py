"""Checks of a data set, before hours of training depend on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfn_patcher.data.check_records import check_records
from mfn_patcher.data.check_verification import check_verification_set
from mfn_patcher.data.property_file import IMAGE_SIDE, Property, PropertyError, read_property
from mfn_patcher.data.report import Report, VerificationFacts
from mfn_patcher.data.verification_set import (
    NAMES,
    VerificationSet,
    VerificationSetError,
    read_verification_set,
)
from mfn_patcher.finding import Finding, Level

_SIZE = (IMAGE_SIDE, IMAGE_SIDE)
_SAMPLES_OF_A_SET = 16


def check(directory: Path, *, samples: int = 64) -> Report:
    """Check all of a data set that can be checked in seconds.

    Args:
        directory: Of the data set.
        samples: How many of the training images to decode.

    Returns:
        What was found; whatever is wrong with the data set is a finding, and raises nothing.
    """
    findings = _check_files(directory)
    if not directory.is_dir():
        return Report(directory, None, None, {}, tuple(findings))
    properties = None
    if (directory / "property").exists():
        properties, finding = _check_property(directory)
        findings.append(finding)
    layout = None
    if all((directory / name).exists() for name in ("train.rec", "train.idx")):
        layout, found = check_records(
            directory, properties.classes if properties else None, _SIZE, samples
        )
        findings += found
    facts = {}
    for path in _paths(directory, NAMES):
        pairs, found = _check_verification(path)
        findings += found
        if pairs:
            facts[path.stem] = VerificationFacts(len(pairs.images), len(pairs.same))
    if not any((directory / f"{name}.bin").exists() for name in NAMES):
        findings.append(
            Finding(
                Level.WARNING,
                "verification sets",
                "there are none: training will measure no accuracy",
                f"Put at least one of {', '.join(NAMES)} beside train.rec, as <name>.bin.",
            )
        )
    identities = layout.identities if layout else None
    if identities is None and properties:
        identities = properties.classes
    return Report(directory, identities, layout.images if layout else None, facts, tuple(findings))


def preflight(
    directory: Path, batch_size: int, targets: Sequence[str] = NAMES
) -> tuple[Finding, ...]:
    """Find what would stop the training script, now or hours from now; quicker than `check`.

    Args:
        directory: Of the data set.
        batch_size: Images in a batch, over all devices.
        targets: Names of the verification sets that the script is told to use.

    Returns:
        Errors only; none when the training can start.
    """
    findings = _check_files(directory)
    if not directory.is_dir():
        return tuple(findings)
    if not findings:
        properties, finding = _check_property(directory)
        classes = properties.classes if properties else None
        layout, found = check_records(directory, classes, _SIZE, _SAMPLES_OF_A_SET)
        findings += [finding, *found]
        if layout and layout.images < batch_size:
            detail = f"{layout.images} images are fewer than a batch of {batch_size}"
            remedy = "Train with a smaller batch."
            findings.append(Finding(Level.ERROR, "train.rec", detail, remedy))
    for path in _paths(directory, targets):
        pairs, found = _check_verification(path)
        findings += found
        if pairs and len(pairs.images) < batch_size:
            findings.append(
                Finding(
                    Level.ERROR,
                    path.name,
                    f"{len(pairs.images)} images are fewer than a batch of {batch_size}, "
                    "of which the script always takes a whole one",
                    "Train with a smaller batch, or without this verification set.",
                )
            )
    return tuple(finding for finding in findings if finding.level is Level.ERROR)


def _paths(directory: Path, names: Sequence[str]) -> list[Path]:
    return [directory / f"{name}.bin" for name in names]


def _check_files(directory: Path) -> list[Finding]:
    if not directory.is_dir():
        remedy = "Give the directory that holds train.rec."
        return [Finding(Level.ERROR, "directory", f"{directory} is no directory", remedy)]
    return [
        Finding(Level.ERROR, name, "is missing", "Copy it here; training needs it.")
        for name in ("train.rec", "train.idx", "property")
        if not (directory / name).exists()
    ]


def _check_property(directory: Path) -> tuple[Property | None, Finding]:
    try:
        found = read_property(directory)
    except PropertyError as error:
        return None, Finding(Level.ERROR, "property", str(error), error.remedy)
    size = f"{found.width}x{found.height}"
    if (found.width, found.height) == _SIZE:
        return found, Finding(Level.OK, "property", f"{found.classes:,} classes, images of {size}")
    return found, Finding(
        Level.ERROR,
        "property",
        f"images of {size}, not {IMAGE_SIDE}x{IMAGE_SIDE}",
        f"Write {IMAGE_SIDE},{IMAGE_SIDE} if the images are of this size; else align them anew.",
    )


def _check_verification(path: Path) -> tuple[VerificationSet | None, list[Finding]]:
    if not path.exists():
        return None, [
            Finding(
                Level.WARNING,
                path.name,
                "is missing: the script passes over it, and its accuracy won't be measured",
                "Put it beside train.rec to have it measured.",
            )
        ]
    try:
        pairs = read_verification_set(path)
    except VerificationSetError as error:
        return None, [Finding(Level.ERROR, path.name, str(error), error.remedy)]
    return pairs, check_verification_set(path.name, pairs, _SIZE, _SAMPLES_OF_A_SET)
