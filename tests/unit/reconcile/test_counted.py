"""What one change costs does not grow with the number of Routes: counted, so that it holds on every machine and under every load.

The way is that of the product: store, admission, plan, commands, what is published, counted and reported; HAProxy alone is pretended.
Counted are the instructions of Python's that one turn carries out, with all that it calls, and the bytes that it has in use at a time at
most. What C does in one go (a comparison of two long tuples) is no instruction; what it copies is in the bytes.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.route import Route, RouteSpec, RouteTarget
from router.observe.metrics.router import Metrics
from router.settings import PortRanges
from router.status.backlog import Backlog
from router.status.writer import StatusWriter
from tests.support.counting import instructions, least_instructions, peak_bytes
from tests.support.stage import NEVER_AGAIN, PREFIX, Stage, start
from tests.support.unused_api import UnusedApi
from tests.support.waiting import wait_for
from tests.unit.admission.builders import endpoint_slice, service

_FEW, _MANY = 100, 2_000
_NAMESPACES = 20
_FIRST_PORT = 10_000
_POOL_PORTS = 100
_POOL = PortRanges.parse("9000-9099")
_LONG_S = 1_000.0
"""The file is not brought level meanwhile: that is another thread's, and may look at everything."""
_WARM = 3
"""Changes before one is counted, so that what is remembered of earlier ones is there."""
_MORE = 200
"""Instructions by which the same change may differ; each Route that is looked at takes some ten."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one turn."""

    instructions: int
    bytes: int


def _route(namespace: str, name: str, port: int, to: str) -> Route:
    annotations = {f"{PREFIX}router-name": "tcp-router", f"{PREFIX}external-tcp-port": str(port)}
    metadata = ObjectMeta(name=name, namespace=namespace, annotations=annotations, uid=f"{name}-{next(_numbers)}")
    return Route(metadata=metadata, spec=RouteSpec(to=RouteTarget(name=to)))


def _all(routes: int) -> Iterator[KubernetesObject]:
    for number in range(routes):
        name, namespace = f"app-{number}", f"team-{number % _NAMESPACES}"
        yield _route(namespace, name, _FIRST_PORT + number, name)
        yield service(name, namespace=namespace)
        yield endpoint_slice("10.0.0.1", service=name, namespace=namespace)


def _endpoint_moves(stage: Stage) -> None:
    number = next(_numbers)
    # Of addresses that no other test has: what is remembered of an address would make one of the two counts smaller.
    address = f"172.27.{number // 250}.{number % 250 + 1}"
    stage.store.put(endpoint_slice(address, service="app-7", namespace="team-7"))


def _route_comes(stage: Stage) -> None:
    # A place of its own each time, and the former one is gone already.
    stage.store.delete(Route, ObjectKey("team-3", "new"))
    stage.turn()
    stage.store.put(_route("team-3", "new", 9_000 + next(_numbers) % _POOL_PORTS, "app-3"))


def _route_goes(stage: Stage) -> None:
    stage.store.put(_route("team-3", "new", 9_000 + next(_numbers) % _POOL_PORTS, "app-3"))
    stage.turn()
    stage.store.delete(Route, ObjectKey("team-3", "new"))


def _cost(directory: Path, routes: int, change: Callable[[Stage], None]) -> Cost:
    directory.mkdir()
    writer = StatusWriter(UnusedApi(), "tcp-router", "", lambda: False)
    metrics = Metrics("2.8", lambda: True)
    stage = Stage(directory, NEVER_AGAIN, _POOL, quiet_s=_LONG_S, observer=metrics, reporter=writer)
    try:
        start(stage, *_all(routes))
        for _ in range(_WARM):
            change(stage)
            stage.turn()
        sent = len(stage.haproxy.commands)
        counted = least_instructions(partial(change, stage), stage.turn)
        change(stage)
        peak = peak_bytes(stage.turn)
        assert len(stage.haproxy.commands) > sent
        assert len(stage.haproxy.loads) == 1
        assert len(stage.controller.snapshot.verdicts) in {routes, routes + 1}
        return Cost(counted, peak)
    finally:
        stage.close()


@pytest.mark.parametrize(
    ("change", "bytes_per_route", "instructions"),
    [
        # The frozen, sorted tuple of all Routes is copied once: a pointer each.
        pytest.param(_endpoint_moves, 9, 6_900, id="endpoint moves"),
        # Of a Route that comes or goes the model's tuple, and of the verdicts that are published keys and values, without the dict.
        pytest.param(_route_comes, 25, 17_500, id="Route comes to a pool port"),
        pytest.param(_route_goes, 25, 10_300, id="Route goes"),
    ],
)
def test_a_change_costs_the_same_among_many_routes(
    tmp_path: Path, change: Callable[[Stage], None], bytes_per_route: int, instructions: int
) -> None:
    """Twenty times as many Routes, and the same instructions; of memory a few pointers for each Route, and none of its objects anew.

    And no more instructions than it takes now, some of Python's versions and a look at retired servers that falls into the turn included: what other
    kinds need is done where there are some.
    """
    few, many = _cost(tmp_path / "few", _FEW, change), _cost(tmp_path / "many", _MANY, change)
    assert many.instructions <= few.instructions + _MORE
    assert few.instructions <= instructions
    assert many.bytes - few.bytes <= (_MANY - _FEW) * bytes_per_route


def test_a_look_at_every_route_is_counted() -> None:
    """The bars are bars: a loop, a comprehension and a copy over all Routes would each be far above them."""
    routes = list(range(_MANY))

    def loop() -> None:
        for _ in routes:
            pass

    # Of the tests' own parts nothing is counted, so these are compiled as somebody else's.
    names: dict[str, Any] = {"routes": routes}
    exec(compile("def comprehend(): return [each for each in routes]", "elsewhere.py", "exec"), names)  # noqa: S102 - the line above
    exec(compile("def look():\n for each in routes: pass", "elsewhere.py", "exec"), names)  # noqa: S102 - as above
    assert instructions(loop) == 0
    assert instructions(names["comprehend"]) > _MANY
    assert instructions(names["look"]) > _MANY
    assert peak_bytes(lambda: dict.fromkeys(routes)) > _MANY * 9


def test_memory_does_not_grow_with_changes(tmp_path: Path) -> None:
    """After a thousand more changes of all kinds there is no more in memory than after the first: nothing is remembered for each."""
    writer = StatusWriter(UnusedApi(), "tcp-router", "", lambda: False)
    stage = Stage(tmp_path, NEVER_AGAIN, _POOL, quiet_s=0.01, observer=Metrics("2.8", lambda: True), reporter=writer)

    def change(times: int) -> None:
        for number in range(times):
            # Pods come back to the same addresses, and Routes to the same ports; what is of each change alone would stay.
            stage.store.put(endpoint_slice(f"10.0.0.{number % 20 + 1}", service="app-7", namespace="team-7"))
            stage.turn()
            stage.store.put(_route("team-3", "new", 9_000 + number % 10, "app-3"))
            stage.turn()
            stage.store.delete(Route, ObjectKey("team-3", "new"))
            stage.turn()

    def is_settled() -> bool:
        """Say whether servers that were retired are deleted, and the file is level."""
        stage.turn()
        running = stage.controller._changer.running  # noqa: SLF001 - nobody else is told of them
        return running is not None and not running.leaving and "team-3:new" not in stage.haproxy.config.read_text()

    def in_use() -> int:
        stage.turn()
        # What the pretended HAProxy was told, and the log, are the test's.
        for told in (stage.haproxy.commands, stage.haproxy.checked, stage.haproxy.asked_if_idle, lines):
            told.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    try:
        with capture_logs() as lines:
            start(stage, *_all(_FEW))
            tracemalloc.start()
            change(100)
            wait_for(is_settled, "what is left to do")
            before = in_use()
            change(340)
            wait_for(is_settled, "what is left to do")
            # Less than 80 bytes for each of these 1,020 changes: what is remembered of the places in use settles at up to 40 KiB, whatever their number.
            wait_for(lambda: in_use() < before + 80_000, "memory to be as it was")
    finally:
        tracemalloc.stop()
        stage.close()


def test_an_endpoint_that_moves_wakes_nobody_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Route's status says nothing of endpoints; a thread that is woken takes Python's lock while the next change waits."""
    woken: list[str] = []
    monkeypatch.setattr(Backlog, "wake", lambda _: woken.append("status"))
    writer = StatusWriter(UnusedApi(), "tcp-router", "", lambda: False)
    stage = Stage(tmp_path, NEVER_AGAIN, _POOL, quiet_s=_LONG_S, reporter=writer)
    try:
        start(stage, *_all(_FEW))
        woken.clear()
        _endpoint_moves(stage)
        stage.turn()
        assert woken == []
        _route_comes(stage)
        stage.turn()
        assert woken == ["status"]
    finally:
        stage.close()
