"""What a change of endpoints costs does not grow with the number of endpoints that its Service has: counted, as in ``test_counted``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from router.objects.discovery import Endpoint, EndpointSlice
from router.observe.metrics.router import Metrics
from router.settings import PortRanges
from router.status.writer import StatusWriter
from tests.support.counting import least_instructions, peak_bytes
from tests.support.stage import NEVER_AGAIN, Stage, start
from tests.support.unused_api import UnusedApi
from tests.unit.admission.builders import endpoint, endpoint_slice, route, service

_IN_SLICE = 100
"""As the controller of Kubernetes makes them."""
_SMALL, _FEW, _MANY, _TOO_MANY = 3, 300, 1_900, 3_000
_LONG_S = 1_000.0
_WARM = 3
_MORE = 1_600
"""Instructions by which the same change may differ: long tuples are compared in eight pieces from each end. Each endpoint that is looked at takes some ten at
least, all of them 19,000."""

_numbers = count(1)


def _slice(number: int, members: int, *others: Endpoint) -> EndpointSlice:
    addresses = [f"10.{number}.0.{each}" for each in range(1, min(members, _IN_SLICE) + 1 - len(others))]
    return endpoint_slice(*addresses, *others, service="db", name=f"db-{number:03}")


def _new() -> Endpoint:
    number = next(_numbers)
    # Of addresses that no other test has: what is remembered of an address would make one of the two counts smaller.
    return endpoint(f"172.29.{number // 250}.{number % 250 + 1}")


def _moves(stage: Stage, members: int) -> None:
    stage.store.put(_slice(1, members, _new()))


def _comes(stage: Stage, members: int) -> None:
    stage.store.put(_slice(1, members - 1))
    stage.turn()
    stage.store.put(_slice(1, members, _new()))


def _goes(stage: Stage, members: int) -> None:
    stage.store.put(_slice(1, members, _new()))
    stage.turn()
    stage.store.put(_slice(1, members - 1))


def _drains(stage: Stage, members: int) -> None:
    new = _new()
    stage.store.put(_slice(1, members, new))
    stage.turn()
    stage.store.put(_slice(1, members, endpoint(new.addresses[0], "draining")))


def _cost(directory: Path, members: int, change: Callable[[Stage, int], None]) -> tuple[int, int]:
    """Give the instructions of one turn, and the bytes that it has in use at most."""
    directory.mkdir()
    writer = StatusWriter(UnusedApi(), "tcp-router", "", lambda: False)
    observer, pool = Metrics("2.8", lambda: True), PortRanges.parse("9000-9019")
    stage = Stage(directory, NEVER_AGAIN, pool, quiet_s=_LONG_S, observer=observer, reporter=writer)
    try:
        slices = range(1, -(-members // _IN_SLICE) + 1)
        start(stage, route("db", 6620), service("db"), *(_slice(number, members) for number in slices))
        for _ in range(_WARM):
            change(stage, members)
            stage.turn()
        loads, sent = len(stage.haproxy.loads), len(stage.haproxy.commands)
        counted = least_instructions(partial(change, stage, members), stage.turn)
        change(stage, members)
        peak = peak_bytes(stage.turn)
        assert len(stage.haproxy.loads) == loads
        assert len(stage.haproxy.commands) > sent
        return counted, peak
    finally:
        stage.close()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_moves, id="an endpoint moves"),
        pytest.param(_comes, id="one comes"),
        pytest.param(_goes, id="one goes"),
        pytest.param(_drains, id="one drains"),
    ],
)
def test_a_change_costs_the_same_among_many_endpoints(tmp_path: Path, change: Callable[[Stage, int], None]) -> None:
    """Six times as many endpoints, and a hundred times fewer, and the same instructions; of memory some pointers for each endpoint."""
    small, _ = _cost(tmp_path / "small", _SMALL, change)
    few, few_bytes = _cost(tmp_path / "few", _FEW, change)
    many, many_bytes = _cost(tmp_path / "many", _MANY, change)
    assert few <= small + _MORE
    assert many <= few + _MORE
    assert many_bytes - few_bytes <= (_MANY - _FEW) * 600


def test_a_change_costs_the_same_beyond_what_is_looked_at(tmp_path: Path) -> None:
    """Of more than 2,000 endpoints the first are served, and which these are is found out at the speed of C."""
    few, _ = _cost(tmp_path / "few", _FEW, _moves)
    many, _ = _cost(tmp_path / "many", _TOO_MANY, _moves)
    assert many <= few + _MORE
