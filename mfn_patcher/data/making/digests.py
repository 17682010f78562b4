"""Finding images with equal bytes among millions, in little memory."""

from __future__ import annotations

from array import array


class Digests:
    """A hash table from 64-bit digests to numbers; it takes 24 to 48 bytes per entry.

    A `dict` would take about 130 bytes. Among a million images, two different ones have the same
    digest with a probability of 3e-8.

    Args:
        most: how many digests will be added at most.
    """

    def __init__(self, most: int) -> None:
        slots = 1 << (2 * most + 1).bit_length()
        self._mask = slots - 1
        self._digests = array("Q", [0]) * slots  # 0 is an empty slot
        self._numbers = array("I", [0]) * slots

    def add(self, digest: int, number: int) -> int | None:
        """Add a digest with a number, unless the digest is there already.

        Returns:
            The number that the digest was added with before; None if it is new.
        """
        digest = digest or 1
        slot = digest & self._mask
        while (found := self._digests[slot]) != digest:
            if not found:
                self._digests[slot] = digest
                self._numbers[slot] = number
                return None
            slot = (slot + 1) & self._mask
        return self._numbers[slot]
