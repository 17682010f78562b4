from __future__ import annotations

from mfn_patcher.data.verification_set import NAMES
from mfn_patcher.recipes import published


def test_every_figure_has_a_source_and_is_a_percentage() -> None:
    found = published.load()
    assert len({entry.title for entry in found}) == len(found)
    for entry in found:
        assert entry.url.startswith("https://")
        assert entry.accuracies
        assert all(50 < value < 100 for value in entry.accuracies.values())
        assert entry.at_least <= set(entry.accuracies) <= set(NAMES)


def test_the_document_s_bound() -> None:
    (bound,) = (entry for entry in published.load() if entry.at_least)
    assert bound.title == "the recipe's target, stage 3"
    assert bound.accuracies == {"lfw": 99.55, "agedb_30": 95.9}
