"""How much several hosts send each other in a step, and how many hosts are worth having.

This is arithmetic, not a measurement: the time of a step on one host is an assumption.
"""

from __future__ import annotations

from dataclasses import dataclass

from mfn_patcher.recipes.published import IDENTITIES

FLOAT = 4  # bytes
EMBEDDING = 128
BACKBONE = 1_003_264
"""Number of parameters of y1 up to the embedding."""


@dataclass(frozen=True)
class Traffic:
    """The traffic of one step on hosts that run a worker each, and with MXNet also a server.

    With MXNet, each worker pushes its gradients to the servers and pulls the sums. The gradient of
    the last layer is split evenly over the servers, and smaller arrays are spread over them. The
    share of the server on the worker's own host stays on that host. With PyTorch, the workers form
    a ring, and each passes all parts of the gradients but one on to the next, twice.

    Attributes:
        hosts: number of hosts.
        identities: width of the last layer, fc7.
    """

    hosts: int
    identities: int = IDENTITIES

    @property
    def fc7_bytes(self) -> int:
        """Size of the gradient of fc7."""
        return self.identities * EMBEDDING * FLOAT

    @property
    def gradient_bytes(self) -> int:
        """Size of all gradients of a worker."""
        return self.fc7_bytes + BACKBONE * FLOAT

    @property
    def sent_bytes(self) -> float:
        """Bytes that a host sends to others in a step; it receives the same number.

        With MXNet, its worker pushes, and its server answers the pulls of the other workers; with
        PyTorch, its worker sends parts to be summed, then sums. The total is the same.
        """
        return 2 * self.gradient_bytes * (self.hosts - 1) / self.hosts

    def seconds(self, gigabits: float) -> float:
        """Return how long sending takes in a full-duplex network with no other traffic.

        Args:
            gigabits: speed of the network, in Gbit/s.
        """
        return self.sent_bytes * 8 / (gigabits * 1e9)

    def split(self, alone: float, gigabits: float) -> float:
        """Return the seconds of a step whose batch is split over the hosts, without any overlap.

        Args:
            alone: seconds that one host takes for the step.
            gigabits: speed of the network, in Gbit/s.
        """
        return alone / self.hosts + self.seconds(gigabits)

    def grown(self, alone: float, gigabits: float) -> float:
        """Return the seconds of a step whose batch grows with the number of hosts.

        Args:
            alone: seconds that one host takes for its share.
            gigabits: speed of the network, in Gbit/s.
        """
        return alone + self.seconds(gigabits)


def worth(alone: float, gigabits: float) -> int:
    """Return the largest number of hosts that spend at least half of each step computing.

    The hosts split a batch. The number follows from ``alone / H = 2 W (H - 1) / (H B)``, where W is
    the size of the gradients in bits and B the speed of the network: ``H = 1 + alone B / (2 W)``.

    Args:
        alone: seconds that one host takes for the step.
        gigabits: speed of the network, in Gbit/s.
    """
    bits = Traffic(1).gradient_bytes * 8
    return int(1 + alone * gigabits * 1e9 / (2 * bits))
