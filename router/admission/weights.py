"""What part of a Route's connections each server gets; pure.

The weights of Services are shared over their endpoints as OpenShift's router does it (calculateServiceWeights).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

MAX_WEIGHT = 256
"""Of a server, by HAProxy's manual, and of a Service, by the API of Routes."""

_EVEN_WEIGHT = 64
"""On a ring a server has 16 points for each 1 of its weight. With 64 the most and the least of ten servers are 1.1 apart."""
_LEAST_FOR_SHARES = 4
"""With less, the shares of Services could not be told apart."""
_MAX_ON_A_RING = 4096
"""All weights of one ring together: 65,536 points, which are 3 MiB."""


def endpoint_shares(services: Sequence[tuple[int, int]]) -> list[int]:
    """Give what one ready endpoint of each Service gets, in proportion to those of the others.

    Exact, in integers: the same on every machine.

    Args:
        services: weight and number of ready endpoints of each Service.
    """
    whole = lcm(*(count for _, count in services if count))
    return [weight * (whole // count) if count else 0 for weight, count in services]


def scaled(shares: Sequence[int], largest_weight: int) -> list[int]:
    """Turn shares of servers into weights: 0 stays 0, the largest becomes ``largest_weight``, the least is 1."""
    largest = max(shares, default=0)
    return [max(1, largest_weight * share // largest) if share else 0 for share in shares]


def largest_weight(services: int, servers: int, *, on_a_ring: bool) -> int:
    """Give the weight of a server that gets most.

    It must not follow the number of servers more often than it has to: on a ring another weight leads clients to other servers.

    Args:
        services: to how many Services the Route leads.
        servers: how many it has.
        on_a_ring: whether HAProxy makes a ring of points of them, which must be many for an even spread, and cost memory.
    """
    alone = _EVEN_WEIGHT if on_a_ring else 1
    weight, least = (MAX_WEIGHT, _LEAST_FOR_SHARES) if services > 1 else (alone, 1)
    while on_a_ring and weight > least and weight * servers > _MAX_ON_A_RING:
        weight //= 4
    return weight
