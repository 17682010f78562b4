"""What several hosts send one another in a step, and how many are worth having.

Arithmetic, not a measurement: the time of a step on one host is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOAT = 4  # bytes
EMBEDDING = 128
BACKBONE = 1_003_264
"""Parameters of y1 up to the embedding."""
IDENTITIES = 85_164
"""Of MS1M."""


@dataclass(frozen=True)
class Traffic:
    """A step of hosts that have a worker and a server each.

    Each worker pushes its gradients to the servers, and pulls the sums. The last layer's is split
    evenly over the servers, smaller ones are spread over them; of each, the share of the host's
    own server stays on the host.

    Attributes:
        hosts: Their number.
        identities: The width of the last layer, fc7.
    """

    hosts: int
    identities: int = IDENTITIES

    @property
    def fc7_bytes(self) -> int:
        """Of fc7's gradient."""
        return self.identities * EMBEDDING * FLOAT

    @property
    def gradient_bytes(self) -> int:
        """Of all gradients of a worker."""
        return self.fc7_bytes + BACKBONE * FLOAT

    @property
    def sent_bytes(self) -> float:
        """That a host sends to others in a step; it receives as many.

        Its worker pushes, and its server answers the other workers' pulls.
        """
        return 2 * self.gradient_bytes * (self.hosts - 1) / self.hosts

    def seconds(self, gigabits: float) -> float:
        """Return how long that takes at so many Gbit/s, each way at once, if nothing else does."""
        return self.sent_bytes * 8 / (gigabits * 1e9)

    def split(self, alone: float, gigabits: float) -> float:
        """Return the seconds of a step whose batch the hosts split, nothing overlapping.

        Args:
            alone: Seconds that one host takes for the step.
            gigabits: Of the network, in Gbit/s.
        """
        return alone / self.hosts + self.seconds(gigabits)

    def grown(self, alone: float, gigabits: float) -> float:
        """Return the seconds of a step whose batch is as many times larger as there are hosts."""
        return alone + self.seconds(gigabits)


def worth(alone: float, gigabits: float, identities: int = IDENTITIES) -> int:
    """Return the most hosts of which at least half of the time computes, splitting a batch.

    From ``alone / H = 2 W (H - 1) / (H B)``, where W bits are the gradients and B is the network's
    speed: ``H = 1 + alone B / (2 W)``.

    Args:
        alone: Seconds that one host takes for the step.
        gigabits: Of the network, in Gbit/s.
        identities: The width of the last layer.
    """
    bits = Traffic(1, identities).gradient_bytes * 8
    return int(1 + alone * gigabits * 1e9 / (2 * bits))
