"""What part of the connections each server gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission.weights import MAX_WEIGHT, endpoint_shares, largest_weight, scaled


def weights(shares: list[tuple[int, int]]) -> list[int]:
    """Give the weight of an endpoint of each Service, by weight and number of endpoints of each."""
    return scaled(endpoint_shares(shares), largest_weight(len(shares), 1, on_a_ring=False))


WEIGHTS: dict[str, tuple[list[tuple[int, int]], list[int]]] = {
    "one": ([(100, 3)], [1]),
    "one, off": ([(0, 3)], [0]),
    "one, empty": ([(100, 0)], [0]),
    "even": ([(100, 1), (100, 1)], [256, 256]),
    "shared over endpoints": ([(20, 2), (10, 4)], [256, 64]),
    "one off": ([(100, 1), (0, 5)], [256, 0]),
    "all off": ([(0, 1), (0, 5)], [0, 0]),
    "never scaled to nothing": ([(256, 1), (1, 200)], [256, 1]),
    "largest without endpoints": ([(256, 0), (1, 1)], [0, 256]),
    "nobody there": ([(1, 0), (1, 0)], [0, 0]),
    "thirds": ([(1, 3), (1, 1)], [85, 256]),
}


@pytest.mark.parametrize(("shares", "expected"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights(shares: list[tuple[int, int]], expected: list[int]) -> None:
    """A Service's weight is shared over its endpoints, the largest becomes 256."""
    assert weights(shares) == expected


@given(st.lists(st.tuples(st.integers(0, 256), st.integers(0, 50)), min_size=2, max_size=4))
def test_weights_are_what_haproxy_takes(shares: list[tuple[int, int]]) -> None:
    """Every weight is 0 to 256; it is 0 exactly for Services that get nothing, and the largest is 256."""
    found = weights(shares)
    assert all((weight == 0) == (not share or not count) for weight, (share, count) in zip(found, shares, strict=True))
    assert max(found) in (0, 256)


@pytest.mark.parametrize("services", [1, 4])
@pytest.mark.parametrize("servers", [1, 3, 16, 64, 65, 1_000, 2_000])
def test_a_ring_has_points_for_an_even_spread_and_no_more_than_it_may(services: int, servers: int) -> None:
    """At most 65,536 points, or twice as many where there are shares to tell apart; that of few servers does not follow their number."""
    weight = largest_weight(services, servers, on_a_ring=True)
    assert 1 <= weight <= MAX_WEIGHT
    assert weight * servers * 16 <= 65_536 * (2 if services > 1 else 1)
    assert services == 1 or weight >= 4
    assert services > 1 or servers > 64 or weight == 64
    assert largest_weight(services, servers, on_a_ring=False) == (1 if services == 1 else MAX_WEIGHT)
