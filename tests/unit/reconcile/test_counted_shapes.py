"""What one change costs does not grow with the number of Routes either where something is not as usual: counted, as in ``test_counted``.

One team can bring about most of it: a port that another process has, a Route that HAProxy refuses. All others' changes must not pay for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from router.admission.verdicts import Reason
from router.haproxy.process.descriptors import LEAST_CONNECTIONS, needed
from router.model import Step
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.observe.metrics.router import Metrics
from router.settings import PortRanges
from router.status.writer import StatusWriter
from tests.support.counting import least_instructions, peak_bytes
from tests.support.stage import NEVER_AGAIN, Stage, start
from tests.support.unused_api import UnusedApi
from tests.unit.admission.builders import endpoint_slice, route, service, sni_route

_FEW, _MANY = 100, 1_000
_FIRST_PORT = 10_000
_POOL = PortRanges.parse("9000-9019")
_TAKEN, _SHARED = 9_500, 9_600
_LONG_S = 1_000.0
_WARM = 3
_MORE = 200
"""Instructions by which the same change may differ; each Route that is looked at takes some ten."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Shape:
    """What is not as usual."""

    more: tuple[KubernetesObject, ...] = ()
    """Objects beside the Routes that are counted."""
    prepare: Callable[[Stage, int], None] = lambda _stage, _routes: None
    """Is told how many Routes there will be."""
    rejected: Mapping[str, Reason] = field(default_factory=dict)
    """By name, who is not served; of those that do not fit some."""
    saved: frozenset[Step] = frozenset()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    namespaces: int = 20
    host_on: int | None = None
    """The port that all share, each by a host."""


def _all(shape: Shape, routes: int) -> Iterator[KubernetesObject]:
    yield from shape.more
    for number in range(routes):
        name, namespace = f"app-{number}", f"team-{number % shape.namespaces}"
        if shape.host_on is not None:
            yield sni_route(name, f"{name}.example.com", shape.host_on, namespace=namespace, to=name)
        else:
            yield route(name, _FIRST_PORT + number, namespace=namespace, to=name)
        yield service(name, namespace=namespace)
        yield endpoint_slice("10.0.0.1", service=name, namespace=namespace)


def _endpoint_moves(stage: Stage, shape: Shape) -> None:
    number = next(_numbers)
    # Of addresses that no other test has: what is remembered of an address would make one of the two counts smaller.
    address = f"172.28.{number // 250}.{number % 250 + 1}"
    stage.store.put(endpoint_slice(address, service="app-7", namespace=f"team-{7 % shape.namespaces}"))


def _new(shape: Shape) -> Route:
    number, namespace = next(_numbers), f"team-{3 % shape.namespaces}"
    if shape.host_on is not None:
        return sni_route("new", f"new-{number}.example.com", shape.host_on, namespace=namespace, to="app-3")
    return route("new", 9_000 + number % 20, namespace=namespace, to="app-3")


def _route_comes(stage: Stage, shape: Shape) -> None:
    # A place of its own each time, and the former one is gone already.
    stage.store.delete(Route, ObjectKey(f"team-{3 % shape.namespaces}", "new"))
    stage.turn()
    stage.store.put(_new(shape))


def _route_goes(stage: Stage, shape: Shape) -> None:
    stage.store.put(_new(shape))
    stage.turn()
    stage.store.delete(Route, ObjectKey(f"team-{3 % shape.namespaces}", "new"))


def _cost(directory: Path, routes: int, shape: Shape, change: Callable[[Stage, Shape], None]) -> tuple[int, int]:
    """Give the instructions of one turn, and the bytes that it has in use at most."""
    directory.mkdir()
    writer = StatusWriter(UnusedApi(), "tcp-router", "", lambda: False)
    metrics = Metrics("2.8", lambda: True)
    stage = Stage(
        directory,
        NEVER_AGAIN,
        _POOL,
        quiet_s=_LONG_S,
        observer=metrics,
        reporter=writer,
        addresses=shape.addresses,
        sni_backends=20,
    )
    try:
        shape.prepare(stage, routes)
        start(stage, *_all(shape, routes))
        stage.turn()
        loads = len(stage.haproxy.loads)
        for _ in range(_WARM):
            change(stage, shape)
            stage.turn()
        sent = len(stage.haproxy.commands)
        counted = least_instructions(partial(change, stage, shape), stage.turn)
        change(stage, shape)
        peak = peak_bytes(stage.turn)
        assert len(stage.haproxy.commands) > sent
        assert len(stage.haproxy.loads) == loads
        verdicts = stage.controller.snapshot.verdicts
        assert {asker.name: each.reason for asker, each in verdicts.items() if not each.admitted} == shape.rejected
        assert stage.room.now().saved == shape.saved
        return counted, peak
    finally:
        stage.close()


def _files_short(stage: Stage, routes: int) -> None:
    stage.files = replace(stage.files, workers=0, max_connections=LEAST_CONNECTIONS)
    stage.files = replace(stage.files, limit=needed(stage.files, routes + 22, 0, LEAST_CONNECTIONS))


def _files_for_fewer(stage: Stage, routes: int) -> None:
    stage.files = replace(stage.files, workers=0, max_connections=LEAST_CONNECTIONS)
    stage.files = replace(stage.files, limit=needed(stage.files, routes - 2, 0, LEAST_CONNECTIONS))


def _port_taken(stage: Stage, _routes: int) -> None:
    stage.haproxy.taken_ports.add(_TAKEN)


def _route_refused(stage: Stage, _routes: int) -> None:
    stage.haproxy.refused.add("team-0:bad")


def _full(routes: int) -> Shape:
    # Of Routes that are as old as each other, the last ones.
    last = sorted((f"team-{number % 20}", f"app-{number}") for number in range(routes))[-2:]
    return Shape(
        prepare=_files_for_fewer,
        rejected=dict.fromkeys((name for _, name in last), Reason.OUT_OF_FILES),
        saved=frozenset(Step),
    )


_BAD = (route("bad", _TAKEN, namespace="team-0", to="nothing"),)
_BESIDE = (sni_route("bad", "bad.example.com", _TAKEN, namespace="team-0", to="nothing"),)
_NOWHERE = (route("bad", _TAKEN, namespace="team-0", to="nothing", external_address="vip"),)
_SHAPES = {
    "files are short": Shape(prepare=_files_short, saved=frozenset({Step.CHECKS})),
    "a port is taken": Shape(_BAD, _port_taken, {"bad": Reason.PORT_UNAVAILABLE}),
    "a shared port is taken": Shape(_BESIDE, _port_taken, {"bad": Reason.PORT_UNAVAILABLE}),
    "a Route is refused": Shape(_BAD, _route_refused, {"bad": Reason.CONFIG_REJECTED}),
    "an address is nowhere": Shape(
        _NOWHERE, rejected={"bad": Reason.ADDRESS_UNAVAILABLE}, addresses={"vip": ("10.9.9.9",)}
    ),
    "one namespace has all": Shape(namespaces=1),
    "all are hosts of one port": Shape(host_on=_SHARED),
}


@pytest.mark.parametrize(
    ("change", "bytes_per_route"),
    [
        # As in ``test_counted``, and once more for what is left out, or made otherwise, before it is planned.
        pytest.param(_endpoint_moves, 120, id="endpoint moves"),
        pytest.param(_route_comes, 120, id="Route comes"),
        pytest.param(_route_goes, 120, id="Route goes"),
    ],
)
@pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in _SHAPES.items()])
def test_a_change_costs_the_same_among_many_routes(
    tmp_path: Path, shape: Shape, change: Callable[[Stage, Shape], None], bytes_per_route: int
) -> None:
    """Ten times as many Routes, and the same instructions; of memory some pointers for each Route."""
    few, few_bytes = _cost(tmp_path / "few", _FEW, shape, change)
    many, many_bytes = _cost(tmp_path / "many", _MANY, shape, change)
    assert many <= few + _MORE
    assert many_bytes - few_bytes <= (_MANY - _FEW) * bytes_per_route


def test_a_change_costs_the_same_while_some_do_not_fit(tmp_path: Path) -> None:
    """Who is left out for want of files is found out when Routes come and go, not when pods do."""
    few, few_bytes = _cost(tmp_path / "few", _FEW, _full(_FEW), _endpoint_moves)
    many, many_bytes = _cost(tmp_path / "many", _MANY, _full(_MANY), _endpoint_moves)
    assert many <= few + _MORE
    assert many_bytes - few_bytes <= (_MANY - _FEW) * 120
