"""What one change of a Gateway, of a route or of a policy costs does not grow with their number, nor do its statuses: counted, as with Routes (test_counted)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from router.admission import Outcome
from router.objects.core import Service, ServicePort, ServiceSpec
from router.objects.decoding import decode
from router.objects.discovery import EndpointPort
from router.objects.gateway import (
    GROUP,
    AllowedListeners,
    BackendRef,
    Gateway,
    GatewayClass,
    GatewayClassSpec,
    GatewaySpec,
    GrantFrom,
    GrantTo,
    Listener,
    ListenerNamespaces,
    ListenerSet,
    ListenerSetSpec,
    ListenerTls,
    ParentGatewayRef,
    ParentRef,
    ReferenceGrant,
    ReferenceGrantSpec,
    RouteRule,
    TcpRoute,
    TcpRouteSpec,
    TlsRoute,
    TlsRouteSpec,
)
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.store import Changes, Objects
from router.objects.tcp_route_policy import PolicySpec, PolicyTarget, PolicyTimeouts, TcpRoutePolicy
from router.reconcile.isolation import Isolation
from router.settings import PortRanges
from router.status.events import EventSender
from router.status.gateway import Facts
from router.status.gateway_writer import GatewayWriter
from router.status.route import Identity
from tests.support.counting import least_instructions
from tests.support.stage import NEVER_AGAIN, Stage, Witness, start
from tests.support.unused_api import UnusedApi
from tests.unit.admission.builders import endpoint_slice

OURS = "example.com/ours"
_FEW, _MANY = 20, 400
"""Gateways, with five routes each."""
_ROUTES = 5
_NAMESPACES = 20
_POOL = PortRanges.parse("9000-9099")
_LONG_S = 1_000.0
_WARM = 3
_MORE = 300
"""Instructions by which the same change may differ; each object that is looked at takes some ten."""
_MORE_OF_ONE = 600
"""Likewise where a port has more names: that which of them differ is looked for in a few pieces, of which a short list has fewer."""
_PORT = (EndpointPort(name="", port=8080, protocol="TCP"),)
_numbers = count(1)


def _meta(name: str, namespace: str, **more: Any) -> ObjectMeta:
    uid = f"{namespace}/{name}"
    return ObjectMeta(name=name, namespace=namespace, uid=uid, generation=1, resource_version="1", **more)


def _tcp(name: str, gateway: str, namespace: str, created: str = "2026-01-02T00:00:00Z") -> TcpRoute:
    refs = (ParentRef(gateway, section_name="tcp"),)
    rules = (RouteRule((BackendRef(f"{gateway}-app", port=80),)),)
    return TcpRoute(_meta(name, namespace, creation_timestamp=created), TcpRouteSpec(rules, refs))


def _tls(name: str, gateway: str, namespace: str, host: str) -> TlsRoute:
    refs = (ParentRef(gateway, section_name="tls"),)
    rules = (RouteRule((BackendRef(f"{gateway}-app", port=80),)),)
    return TlsRoute(_meta(name, namespace), TlsRouteSpec((host,), rules, refs))


def _gateway(number: int, *more: Listener) -> Gateway:
    name, namespace = f"gw-{number}", f"team-{number % _NAMESPACES}"
    tls = Listener("tls", 20_000 + number, "TLS", f"*.h{number}.example.com", ListenerTls("Passthrough"))
    listeners = (Listener("tcp", 10_000 + number, "TCP"), tls, *more)
    return Gateway(_meta(name, namespace), GatewaySpec("ours", listeners))


def _all(gateways: int) -> Iterator[KubernetesObject]:
    yield GatewayClass(_meta("ours", ""), GatewayClassSpec(OURS))
    for number in range(gateways):
        gateway = _gateway(number)
        name, namespace = gateway.key.name, gateway.key.namespace
        yield gateway
        yield Service(_meta(f"{name}-app", namespace), ServiceSpec(ports=(ServicePort(80),)))
        yield endpoint_slice("10.0.0.1", service=f"{name}-app", namespace=namespace, ports=_PORT)
        yield _tcp(f"{name}-r", name, namespace, "2026-01-01T00:00:00Z")
        for each in range(_ROUTES - 1):
            yield _tls(f"{name}-{each}", name, namespace, f"a{each}.h{number}.example.com")
        yield _policy(f"{name}-p", name, namespace, "1h")


def _policy(name: str, gateway: str, namespace: str, tunnel: str) -> TcpRoutePolicy:
    spec = PolicySpec((PolicyTarget("Gateway", gateway),), timeouts=PolicyTimeouts(tunnel=tunnel))
    return TcpRoutePolicy(_meta(name, namespace), spec)


def _endpoint_moves(stage: Stage) -> None:
    number = next(_numbers)
    address = f"172.28.{number // 250}.{number % 250 + 1}"
    stage.store.put(endpoint_slice(address, service="gw-7-app", namespace="team-7", ports=_PORT))


def _route_attaches(stage: Stage) -> None:
    stage.store.delete(TcpRoute, ObjectKey("team-7", "new"))
    stage.turn()
    stage.store.put(_tcp("new", "gw-7", "team-7"))


def _name_comes(stage: Stage) -> None:
    stage.store.put(_tls("gw-7-0", "gw-7", "team-7", f"b{next(_numbers) % 50}.h7.example.com"))


def _listener_comes(stage: Stage) -> None:
    stage.store.put(_gateway(7))
    stage.turn()
    stage.store.put(_gateway(7, Listener("more", 9_000 + next(_numbers) % 100, "TCP")))


def _policy_says_nothing_new(stage: Stage) -> None:
    policy = _policy("gw-7-p", "gw-7", "team-7", "1h")
    stage.store.put(replace(policy, metadata=replace(policy.metadata, generation=next(_numbers) + 1)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_endpoint_moves, id="endpoint moves"),
        pytest.param(_route_attaches, id="route attaches"),
        pytest.param(_name_comes, id="TLSRoute has another name"),
        pytest.param(_listener_comes, id="listener comes to a pool port"),
        pytest.param(_policy_says_nothing_new, id="policy is written"),
    ],
)
def test_a_change_costs_the_same_among_many_gateways(tmp_path: Path, change: Callable[[Stage], None]) -> None:
    """Twenty times as many Gateways with their routes and policies, and the same instructions."""
    few, many = (_cost(tmp_path / str(gateways), gateways, change) for gateways in (_FEW, _MANY))
    assert many <= few + _MORE


_ONE = "one"
"""The name of the Gateway that has all routes, and of its namespace."""


def _one_gateway(*more: Listener) -> Gateway:
    listeners = (
        Listener("tcp", 10_000, "TCP"),
        Listener("tls", 20_000, "TLS", "*.example.com", ListenerTls("Passthrough")),
    )
    return Gateway(_meta(_ONE, _ONE), GatewaySpec("ours", (*listeners, *more)))


def _at_one(kind: str, name: str, service: str, created: str = "2026-01-02T00:00:00Z") -> TcpRoute | TlsRoute:
    refs, rules = (ParentRef(_ONE, section_name=kind),), (RouteRule((BackendRef(service, port=80),)),)
    metadata = _meta(name, _ONE, creation_timestamp=created)
    if kind == "tcp":
        return TcpRoute(metadata, TcpRouteSpec(rules, refs))
    return TlsRoute(metadata, TlsRouteSpec((f"{name}.example.com",), rules, refs))


def _all_at_one(routes: int) -> Iterator[KubernetesObject]:
    """Give one Gateway with this many routes, half of them on a port of which the oldest has all connections."""
    yield GatewayClass(_meta("ours", ""), GatewayClassSpec(OURS))
    yield _one_gateway()
    for number in range(routes):
        service = f"app-{number}"
        yield Service(_meta(service, _ONE), ServiceSpec(ports=(ServicePort(80),)))
        yield endpoint_slice("10.0.0.1", service=service, namespace=_ONE, ports=_PORT)
        kind = ("tcp", "tls")[number % 2]
        yield _at_one(kind, f"{kind}-{number}", service, f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z")


def _its_endpoint_moves(stage: Stage) -> None:
    number = next(_numbers)
    address = f"172.29.{number // 250}.{number % 250 + 1}"
    stage.store.put(endpoint_slice(address, service="app-7", namespace=_ONE, ports=_PORT))


def _younger_route_attaches(stage: Stage) -> None:
    stage.store.delete(TcpRoute, ObjectKey(_ONE, "new"))
    stage.turn()
    stage.store.put(_at_one("tcp", "new", "app-0"))


def _younger_route_goes(stage: Stage) -> None:
    stage.store.put(_at_one("tcp", "new", "app-0"))
    stage.turn()
    stage.store.delete(TcpRoute, ObjectKey(_ONE, "new"))


def _name_attaches(stage: Stage) -> None:
    stage.store.delete(TlsRoute, ObjectKey(_ONE, "new"))
    stage.turn()
    stage.store.put(_at_one("tls", "new", "app-1"))


def _name_goes(stage: Stage) -> None:
    stage.store.put(_at_one("tls", "new", "app-1"))
    stage.turn()
    stage.store.delete(TlsRoute, ObjectKey(_ONE, "new"))


def _name_leads_elsewhere(stage: Stage) -> None:
    stage.store.put(_at_one("tls", "tls-1", f"app-{2 * (next(_numbers) % 2) + 1}"))


def _oldest_leads_elsewhere(stage: Stage) -> None:
    stage.store.put(_at_one("tcp", "tcp-0", f"app-{2 * (next(_numbers) % 2)}", "2026-01-01T00:00:00Z"))


def _one_more_listener(stage: Stage) -> None:
    stage.store.put(_one_gateway())
    stage.turn()
    stage.store.put(_one_gateway(Listener("more", 9_000 + next(_numbers) % 100, "TCP")))


def _grant_comes_where_they_are(stage: Stage) -> None:
    grant = ReferenceGrantSpec((GrantFrom(GROUP, "TCPRoute", f"a-{next(_numbers)}"),), (GrantTo("", "Service"),))
    stage.store.put(ReferenceGrant(_meta("a", _ONE), grant))


def _service_has_another_port(stage: Stage) -> None:
    ports = (ServicePort(80), ServicePort(1_000 + next(_numbers)))
    stage.store.put(Service(_meta("app-7", _ONE), ServiceSpec(ports=ports)))


def _grant_comes(stage: Stage) -> None:
    grant = ReferenceGrantSpec((GrantFrom(GROUP, "TCPRoute", f"a-{next(_numbers)}"),), (GrantTo("", "Service"),))
    stage.store.put(ReferenceGrant(_meta("a", "elsewhere"), grant))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_its_endpoint_moves, id="endpoint moves"),
        pytest.param(_younger_route_attaches, id="younger route attaches"),
        pytest.param(_younger_route_goes, id="younger route goes"),
        pytest.param(_oldest_leads_elsewhere, id="oldest route leads elsewhere"),
        pytest.param(_name_attaches, id="route with a name of its own attaches"),
        pytest.param(_name_goes, id="route with a name of its own goes"),
        pytest.param(_name_leads_elsewhere, id="route with a name of its own leads elsewhere"),
        pytest.param(_one_more_listener, id="listener comes to a pool port"),
        pytest.param(_service_has_another_port, id="Service has another port"),
        pytest.param(_grant_comes, id="grant comes"),
        # In their own namespace nobody needs one.
        pytest.param(_grant_comes_where_they_are, id="grant comes where they are"),
    ],
)
def test_a_change_costs_the_same_among_many_routes_of_one_gateway(
    tmp_path: Path, change: Callable[[Stage], None]
) -> None:
    """Twenty times as many routes at one Gateway, and the same instructions: for what is served, and for the statuses that are written of it."""
    costs = [_cost(tmp_path / str(routes), routes, change, _all_at_one, writes=True) for routes in (_FEW, _MANY)]
    assert costs[1] <= costs[0] + _MORE_OF_ONE


def _with_sets(sets: int) -> Iterator[KubernetesObject]:
    """Give a Gateway to which this many ListenerSets bring a listener each."""
    yield GatewayClass(_meta("ours", ""), GatewayClassSpec(OURS))
    gateway, allowed = _one_gateway(), AllowedListeners(ListenerNamespaces("All"))
    yield replace(gateway, spec=replace(gateway.spec, allowed_listeners=allowed))
    yield Service(_meta("app-0", _ONE), ServiceSpec(ports=(ServicePort(80),)))
    yield endpoint_slice("10.0.0.1", service="app-0", namespace=_ONE, ports=_PORT)
    for number in range(sets):
        listeners = (Listener("l", 30_000 + number, "TCP"),)
        yield ListenerSet(_meta(f"set-{number}", _ONE), ListenerSetSpec(ParentGatewayRef(_ONE), listeners))


def test_a_route_at_a_gateway_with_many_sets_costs_the_same(tmp_path: Path) -> None:
    """How many of them are accepted is written of the Gateway, and no reason to look at each."""
    costs = [_cost(tmp_path / str(sets), sets, _younger_route_attaches, _with_sets) for sets in (_FEW, _MANY)]
    assert costs[1] <= costs[0] + _MORE_OF_ONE


def _alone(gateways: int) -> Iterator[KubernetesObject]:
    """Give Gateways with one listener and one route each, as many as there are Routes beside."""
    yield GatewayClass(_meta("ours", ""), GatewayClassSpec(OURS))
    for number in range(gateways):
        name, namespace = f"gw-{number}", f"team-{number % _NAMESPACES}"
        yield Gateway(_meta(name, namespace), GatewaySpec("ours", (Listener("tcp", 10_000 + number, "TCP"),)))
        yield Service(_meta(f"{name}-app", namespace), ServiceSpec(ports=(ServicePort(80),)))
        yield endpoint_slice("10.0.0.1", service=f"{name}-app", namespace=namespace, ports=_PORT)
        yield _tcp(f"{name}-r", name, namespace)


def _route_comes_to_a_listener(stage: Stage) -> None:
    stage.store.delete(TcpRoute, ObjectKey("team-7", "gw-7-r"))
    stage.turn()
    stage.store.put(_tcp("gw-7-r", "gw-7", "team-7"))


def _its_gateway(*more: Listener) -> Gateway:
    return Gateway(_meta("gw-7", "team-7"), GatewaySpec("ours", (Listener("tcp", 10_007, "TCP"), *more)))


def _its_route() -> TcpRoute:
    spec = TcpRouteSpec((RouteRule((BackendRef("gw-7-app", port=80),)),), (ParentRef("gw-7", section_name="more"),))
    return TcpRoute(_meta("new", "team-7"), spec)


def _both_come(stage: Stage) -> None:
    stage.store.delete(TcpRoute, ObjectKey("team-7", "new"))
    stage.store.put(_its_gateway())
    stage.turn()
    stage.store.put(_its_gateway(Listener("more", 9_000 + next(_numbers) % 100, "TCP")), _its_route())


def _both_go(stage: Stage) -> None:
    stage.store.put(_its_gateway(Listener("more", 9_000 + next(_numbers) % 100, "TCP")), _its_route())
    stage.turn()
    stage.store.delete(TcpRoute, ObjectKey("team-7", "new"))
    stage.store.put(_its_gateway())


def _listener_goes(stage: Stage) -> None:
    stage.store.put(_its_gateway(Listener("more", 9_000 + next(_numbers) % 100, "TCP")))
    stage.turn()
    stage.store.put(_its_gateway())


@pytest.mark.parametrize(
    ("change", "instructions"),
    [
        pytest.param(_both_come, 24_000, id="listener and route come"),
        pytest.param(_both_go, 14_000, id="listener and route go"),
        # As a Route that goes (test_counted).
        pytest.param(_listener_goes, 12_500, id="listener goes"),
    ],
)
def test_a_listener_with_its_route_costs_little_more_than_a_route(
    tmp_path: Path, change: Callable[[Stage], None], instructions: int
) -> None:
    """They are two objects, and one turn where they come together."""
    assert _cost(tmp_path / "alone", _FEW, change, _alone) <= instructions


def _status_comes_back(kind: type, name: str, stage: Stage) -> None:
    there = stage.store.objects.gateway_api.by_kind[kind][ObjectKey("team-7", name)]
    metadata = replace(there.metadata, resource_version=f"{next(_numbers)}")
    stage.store.put(replace(there, metadata=metadata))


@pytest.mark.parametrize(("kind", "name"), [(Gateway, "gw-7"), (TcpRoute, "gw-7-r")])
def test_a_status_that_was_written_is_no_matter_for_decisions(tmp_path: Path, kind: type, name: str) -> None:
    """It comes back by the watch, fifty times in a second where many are written, while endpoints move."""
    assert _cost(tmp_path / "alone", _FEW, partial(_status_comes_back, kind, name), _alone) <= 3_500


class _Meanwhile:
    """Puts something into the store while a change is decided, once."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.puts: Callable[[], None] | None = None
        decide = Isolation.update

        def update(isolation: Isolation, objects: Objects, changes: Changes, now_s: float) -> Outcome:
            assert changes
            puts, self.puts = self.puts, None
            if puts is not None:
                puts()
            return decide(isolation, objects, changes, now_s)

        patch.setattr(Isolation, "update", update)


@pytest.mark.parametrize("comes_first", ["Gateway", "TCPRoute"])
def test_a_route_that_comes_while_its_listener_is_decided_is_served_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_first: str
) -> None:
    """They come by two watches: HAProxy is told once, and of both; and likewise when they go."""
    meanwhile, witness = _Meanwhile(monkeypatch), Witness()
    stage = Stage(
        tmp_path, NEVER_AGAIN, _POOL, quiet_s=_LONG_S, observer=witness, reporter=_writer(_Written()), gateway_controller=OURS
    )  # fmt: skip
    try:
        start(stage, *_alone(_FEW))
        stage.haproxy.commands.clear()
        pair: list[KubernetesObject] = [_its_gateway(Listener("more", 9_005, "TCP")), _its_route()]
        first, second = pair if comes_first == "Gateway" else reversed(pair)
        meanwhile.puts = partial(stage.store.put, second)
        stage.store.put(first)
        stage.turn()
        assert witness.updates == ["success"]
        assert [each.split()[0] for each in stage.haproxy.commands] == ["add", "enable", "enable", "add", "enable"]
        stage.haproxy.commands.clear()
        meanwhile.puts = partial(stage.store.put, _its_gateway())
        stage.store.delete(TcpRoute, ObjectKey("team-7", "new"))
        stage.turn()
        assert witness.updates == ["success", "success"]
        assert stage.haproxy.commands[0] == "disable frontend fe_tcp:9005"
    finally:
        stage.close()


def test_an_endpoint_that_moves_waits_for_nothing_that_comes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes while other changes are decided is the next turn's."""
    meanwhile = _Meanwhile(monkeypatch)
    stage = Stage(tmp_path, NEVER_AGAIN, _POOL, quiet_s=_LONG_S, reporter=_writer(_Written()), gateway_controller=OURS)  # fmt: skip
    try:
        start(stage, *_alone(_FEW))
        stage.haproxy.commands.clear()
        meanwhile.puts = partial(stage.store.put, _its_gateway(Listener("more", 9_005, "TCP")))
        _endpoint_moves(stage)
        stage.turn()
        assert not any("9005" in each for each in stage.haproxy.commands)
        stage.turn()
        assert stage.haproxy.commands[-1] == "enable frontend fe_tcp:9005"
    finally:
        stage.close()


def test_a_listener_that_did_not_change_costs_next_to_nothing(tmp_path: Path) -> None:
    """Of a Gateway with 64 listeners, as the API lets it have, one that comes costs a few instructions more for each of the others."""

    def others(most: int) -> tuple[Listener, ...]:
        return tuple(Listener(f"other-{port}", 30_000 + port, "TCP") for port in range(most))

    def cost(most: int) -> int:
        def comes(stage: Stage) -> None:
            stage.store.put(_its_gateway(*others(most)))
            stage.turn()
            stage.store.put(_its_gateway(*others(most), Listener("more", 9_000 + next(_numbers) % 100, "TCP")))

        def everything(gateways: int) -> Iterator[KubernetesObject]:
            yield from _alone(gateways)
            yield _its_gateway(*others(most))

        return _cost(tmp_path / str(most), _FEW, comes, everything)

    assert cost(63) - cost(3) <= 60 * 230


@pytest.mark.parametrize(
    ("change", "instructions"),
    [
        # As of Routes (test_counted).
        pytest.param(_endpoint_moves, 10_500, id="endpoint moves"),
        pytest.param(_route_comes_to_a_listener, 19_500, id="route comes to a listener"),
    ],
)
def test_a_change_of_a_tcp_route_costs_what_one_of_a_route_does(
    tmp_path: Path, change: Callable[[Stage], None], instructions: int
) -> None:
    """No more instructions than the same change of a Route may take."""
    assert _cost(tmp_path / "alone", _FEW, change, _alone) <= instructions


def _cost(
    directory: Path,
    number: int,
    change: Callable[[Stage], None],
    everything: Callable[[int], Iterator[KubernetesObject]] = _all,
    *,
    writes: bool = False,
) -> int:
    """Count a turn after a change among so many; with the statuses that are written after it, if they are to be."""
    directory.mkdir()
    api, now_s = _Written(), [0.0]
    writer = _writer(api, lambda: now_s[0])

    def turn() -> None:
        stage.turn()
        while writes and writer.queued:
            now_s[0] += max(writer.step(), 0.001)

    stage = Stage(
        directory,
        NEVER_AGAIN,
        _POOL,
        quiet_s=_LONG_S,
        reporter=writer,
        # For routes that come with a name of their own.
        sni_backends=10,
        gateway_controller=OURS,
    )
    try:
        start(stage, *everything(number))
        turn()
        for _ in range(_WARM):
            change(stage)
            turn()
        counted = least_instructions(partial(change, stage), turn)
        assert len(stage.haproxy.loads) == 1
        return counted
    finally:
        stage.close()


def _writer(api: Any, clock: Callable[[], float] = lambda: 0.0) -> GatewayWriter:
    events = EventSender(api, Identity("tcp-router"), "pod", clock=clock, wall_clock=lambda: 1_800_000_000.0)
    facts = Facts(controller=OURS, ips=("192.0.2.1",))
    return GatewayWriter(api, facts, lambda: True, events=events, clock=clock, wall_clock=lambda: 1_800_000_000.0)


class _Written(UnusedApi):
    """Takes statuses and Events, and counts them by path."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.bodies: dict[str, Any] = {}
        self.events = 0

    def patch(self, path: str, body: bytes, content_type: str) -> bytes:
        """Take a status."""
        assert content_type == "application/merge-patch+json"
        self.statuses[path] += 1
        self.bodies[path] = json.loads(body)
        return b"{}"

    def post(self, path: str, body: bytes) -> bytes:
        """Take an Event."""
        assert path
        self.events += len(body) > 0
        return b"{}"


def test_statuses_of_a_thousand_gateways_and_five_thousand_routes_are_written_once_each_at_the_pace(
    tmp_path: Path,
) -> None:
    """After HAProxy serves them, as fast as the statuses of Routes; what comes back through the watch is no work, and a change of one is one write more."""
    gateways = 1_000
    api, now_s = _Written(), [0.0]
    writer = _writer(api, lambda: now_s[0])
    stage = Stage(tmp_path, NEVER_AGAIN, quiet_s=_LONG_S, reporter=writer, gateway_controller=OURS)
    try:
        start(stage, *_all(gateways))
        expected = 1 + gateways * (1 + _ROUTES + 1)
        written = _drained(writer, api, now_s, expected)
        assert written == expected
        assert set(api.statuses.values()) == {1}
        # The first 100 at once, then fifty in a second.
        assert now_s[0] == pytest.approx((expected - 100) / 50, rel=0.02)
        # Our own writes come back.
        stage.store.put(*_answered(stage, api))
        stage.turn()
        assert _drained(writer, api, now_s, 1) == 0
        stage.store.put(_tcp("new", "gw-7", "team-7"))
        stage.turn()
        # The route, and its Gateway, which counts it.
        assert _drained(writer, api, now_s, 2) == 2
    finally:
        stage.close()


def _drained(writer: GatewayWriter, api: _Written, now_s: list[float], at_most: int) -> int:
    """Turn the writer's clock until nothing is to be written; give how many statuses were."""
    before = sum(api.statuses.values())
    for _ in range(5 * at_most + 100):
        pause_s = writer.step()
        if not writer.queued:
            break
        now_s[0] += max(pause_s, 0.001)
    assert not writer.queued
    return sum(api.statuses.values()) - before


def _answered(stage: Stage, api: _Written) -> Iterator[KubernetesObject]:
    """Give the objects with the statuses that were written."""
    of = stage.store.objects.gateway_api
    for path, body in api.bodies.items():
        *_, plural, name, _status = path.split("/")
        namespace = path.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in path else ""
        members: Any = {
            "gatewayclasses": of.classes,
            "gateways": of.gateways,
            "tcproutes": of.tcp_routes,
            "tlsroutes": of.tls_routes,
            "tcproutepolicies": of.policies,
        }[plural]
        obj = members[ObjectKey(namespace, name)]
        made: Any = decode(
            type(obj), {"metadata": {"name": name}, "spec": _SPEC.get(plural, {}), "status": body["status"]}
        )
        yield replace(obj, status=made.status, metadata=replace(obj.metadata, resource_version="2"))


_SPEC = {"gatewayclasses": {"controllerName": OURS}, "gateways": {"gatewayClassName": "ours"}}
