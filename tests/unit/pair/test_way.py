"""When a cluster of a pair can be written to."""

from __future__ import annotations

from typing import Any, cast

from router.errors import ApiUnreachable
from router.pair.way import Way
from router.status.outage import Outage


def _way(connected: list[bool]) -> Way:
    nothing = cast("Any", None)
    return Way(nothing, nothing, lambda: True, lambda: connected[0], Outage("cluster golddr"))


def test_an_outage_that_only_a_decision_saw_is_over_all_the_same() -> None:
    """Between two looks the API server may be away and back; what was decided then must be decided anew."""
    connected = [True]
    way = _way(connected)
    assert way.opens(0)
    assert not way.opens(0.5)
    connected[0] = False
    assert not way.is_open(0.6)
    connected[0] = True
    assert way.opens(1.0)
    assert not way.opens(1.5)


def test_it_is_closed_while_writes_fail() -> None:
    """For the pause after a failure, and opens by itself."""
    way = _way([True])
    assert way.opens(0)
    way.outage.failed(ApiUnreachable("cut"), 10.0, 1)
    assert not way.is_open(10.5)
    assert not way.opens(10.5)
    assert way.opens(11.0)
