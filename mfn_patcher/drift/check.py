"""Checking a series against revisions of upstream, without touching any work tree."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from mfn_patcher.drift.history import name_removals, walk
from mfn_patcher.drift.judge import Judge
from mfn_patcher.drift.tree import Tree
from mfn_patcher.patching.git import temporary_repository
from mfn_patcher.patching.objects import Blobs
from mfn_patcher.patching.sparse import pattern_of
from mfn_patcher.patching.upstream import (
    FetchError,
    fetch_blobs,
    fetch_history,
    fetch_revision,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfn_patcher.drift.history import History
    from mfn_patcher.drift.verdicts import RevisionVerdict
    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.series import Series

_LOG = logging.getLogger(__name__)


def check(
    series: Series,
    address: str,
    revisions: Sequence[str],
    *,
    history: tuple[str, str] | None = None,
) -> tuple[list[RevisionVerdict], History | None]:
    """Judge a series at its pin, at other revisions, or along upstream's history.

    Only blobs of patched files are fetched. If files are missing, the commits that removed them are
    searched in a history without blobs.

    Args:
        series: the series.
        address: the address of upstream.
        revisions: names of revisions, as for `fetch_revision`. If there are none, and no history,
            the series is judged at the pin, byte for byte.
        history: two revisions; every commit between them that changes a patched file is judged.

    Returns:
        The verdicts at `revisions`, and those along `history`.

    Raises:
        FetchError: a revision cannot be fetched, which says nothing about the patches.
    """
    with temporary_repository() as snapshots, temporary_repository() as whole:
        verdicts = []
        if revisions or not history:
            verdicts = _check_revisions(snapshots, series, address, revisions)
        walked = None
        if history:
            _LOG.info("fetching the history of %s from %s", history[1], address)
            start, end, pin = fetch_history(whole, address, (*history, series.pin))
            _warn_if_unrelated(whole, start, end)
            fetch = partial(fetch_blobs, whole)
            ends = {"first": (history[0], start), "last": (history[1], end)}
            walked = walk(whole, series.patches, pin, **ends, fetch=fetch)
        incomplete = [verdict for verdict in verdicts if verdict.missing]
        if incomplete:
            if not history:
                _LOG.info(
                    "fetching the history from %s, to find the commits that removed files", address
                )
            try:
                fetch_history(whole, address, [verdict.commit for verdict in incomplete])
            except FetchError as error:
                _LOG.warning("cannot find the commits that removed files: %s", error)
            else:
                verdicts = [name_removals(whole, verdict) for verdict in verdicts]
        return verdicts, walked


def _warn_if_unrelated(repository: Repository, start: str, end: str) -> None:
    if repository.run("merge-base", start, end, expected=(0, 1)).status:
        _LOG.warning(
            "%s and %s have no commit in common, so all commits up to %s are judged; "
            "docs/own-upstream.md says how to pin a release archive on top of its tag",
            start[:12],
            end[:12],
            end[:12],
        )


def _check_revisions(
    repository: Repository,
    series: Series,
    address: str,
    revisions: Sequence[str],
) -> list[RevisionVerdict]:
    patterns = tuple(map(pattern_of, series.paths))
    _LOG.info("fetching %s from %s", series.pin[:12], address)
    fetch_revision(repository, address, series.pin, patterns)
    blobs = Blobs(repository, partial(fetch_blobs, repository))
    judge = Judge(series.patches, blobs, series.pin)
    if not revisions:
        return [judge.judge("pin", Tree(series.pin, blobs), exact=True)]
    verdicts = []
    for revision in revisions:
        _LOG.info("fetching %s from %s", revision, address)
        commit = fetch_revision(repository, address, revision, patterns)
        verdicts.append(judge.judge(revision, Tree(commit, blobs)))
    return verdicts
