from __future__ import annotations

from mfn_patcher.data.making.digests import Digests


def test_equal_digests_are_found_however_full_the_table_is() -> None:
    # All of them belong into the same slot; 0 is a digest like any other.
    digests = [0, 1 << 63, *(number << 40 for number in range(1, 99))]
    table = Digests(len(digests))
    assert [table.add(digest, number) for number, digest in enumerate(digests)] == [None] * 100
    assert [table.add(digest, 7) for digest in digests] == list(range(100))


def test_the_table_takes_little_memory() -> None:
    table = Digests(1_000_000)
    assert 24 <= 12 * len(table._digests) / 1_000_000 <= 48
