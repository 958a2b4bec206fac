"""What objects of the Gateway API are told equals a slow model; deciding after each change equals a full rebuild; traffic follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from router.admission import Admission, Outcome
from router.admission.gateway.index import Index
from router.admission.gateway.states import GatewayState, ListenerSetState, RouteState, State, StateKey
from router.model import Asker, RouteSection
from router.model.refusing import REFUSING
from router.objects.core import Service, ServicePort, ServiceSpec
from router.objects.discovery import EndpointPort
from router.objects.gateway import (
    GROUP,
    AllowedListeners,
    AllowedRoutes,
    BackendRef,
    Gateway,
    GatewayClass,
    GatewayClassSpec,
    GatewayRouteStatus,
    GatewaySpec,
    GrantFrom,
    GrantTo,
    Listener,
    ListenerNamespaces,
    ListenerSet,
    ListenerSetSpec,
    ListenerTls,
    ParametersRef,
    ParentGatewayRef,
    ParentRef,
    ParentStatus,
    ReferenceGrant,
    ReferenceGrantSpec,
    RouteGroupKind,
    RouteNamespaces,
    RouteRule,
    TcpRoute,
    TcpRouteSpec,
    TlsRoute,
    TlsRouteSpec,
)
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.namespace import Namespace
from router.objects.networking import LabelRequirement, LabelSelector
from router.objects.store import Objects, Store
from router.settings import AdmissionSettings
from tests.support import gateway_model as model
from tests.support.gateway_model import Owner
from tests.unit.admission.builders import endpoint_slice

OURS = "example.com/ours"
SETTINGS = AdmissionSettings(gateway_controller=OURS)
NAMESPACES = ("team", "other")
IN = st.sampled_from(NAMESPACES)
NAMES = st.sampled_from("ab")
CREATED = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", None])


def meta(name: str, namespace: str, created: str | None = None, labels: dict[str, str] | None = None) -> ObjectMeta:
    """Make metadata."""
    return ObjectMeta(
        name=name, namespace=namespace, creation_timestamp=created, labels=labels, uid=f"{namespace}/{name}"
    )


CLASSES = st.builds(
    lambda name, controller, ref: GatewayClass(meta(name, ""), GatewayClassSpec(controller, ref)),
    NAMES,
    st.sampled_from([OURS, OURS, OURS, "example.com/other"]),
    st.sampled_from([None, None, None, ParametersRef("x", "X", "x")]),
)
SELECTORS = st.sampled_from([
    LabelSelector(),
    LabelSelector({"a": "1"}),
    LabelSelector(None, (LabelRequirement("a", "In", ("1", "2")),)),
    LabelSelector(None, (LabelRequirement("a", "NotIn", ("1",)),)),
    LabelSelector(None, (LabelRequirement("a", "Exists"), LabelRequirement("b", "DoesNotExist"))),
    LabelSelector(None, (LabelRequirement("a", "Sideways"),)),
    None,
])  # fmt: skip
KINDS = st.sampled_from(
    [RouteGroupKind("TCPRoute"), RouteGroupKind("TLSRoute"), RouteGroupKind("TCPRoute", "example.com")]
)
LISTENERS = st.builds(
    Listener,
    name=st.sampled_from(["l", "m", "n"]),
    port=st.sampled_from([7000, 7000, 7001, 7002]),
    protocol=st.sampled_from(["TCP", "TCP", "TLS", "TLS", "HTTP", "INVALID"]),
    hostname=st.sampled_from([None, "*.x", "a.x", "*.b.x"]),
    tls=st.sampled_from([None, *[ListenerTls("Passthrough")] * 3, ListenerTls("Terminate")]),
    allowed_routes=st.builds(
        AllowedRoutes,
        st.builds(RouteNamespaces, st.sampled_from(["Same", "Same", "All", "Selector", "Odd"]), SELECTORS),
        st.none() | st.lists(KINDS, max_size=2).map(tuple),
    ),
)
LISTS = st.lists(LISTENERS, min_size=1, max_size=3, unique_by=lambda each: each.name).map(tuple)
ALLOWED = st.builds(
    AllowedListeners,
    st.builds(ListenerNamespaces, st.sampled_from(["None", "Same", "All", "All", "Selector", "Odd"]), SELECTORS),
)
TAKES_ALL = AllowedListeners(ListenerNamespaces("All"))
GATEWAYS = st.builds(
    lambda name, namespace, created, of_class, listeners, allowed: Gateway(
        meta(name, namespace, created), GatewaySpec(of_class, listeners, allowed_listeners=allowed)
    ),
    NAMES,
    IN,
    CREATED,
    NAMES,
    LISTS,
    ALLOWED,
)
SETS = st.builds(
    lambda name, namespace, created, ref, listeners: ListenerSet(
        meta(name, namespace, created), ListenerSetSpec(ref, listeners)
    ),
    st.sampled_from("abc"),
    IN,
    CREATED,
    st.builds(
        ParentGatewayRef,
        name=NAMES,
        kind=st.sampled_from(["Gateway"] * 4 + ["ListenerSet"]),
        namespace=st.sampled_from([None, *NAMESPACES]),
    ),
    LISTS,
)
REFS = st.builds(
    ParentRef,
    name=NAMES,
    group=st.sampled_from([GROUP, GROUP, GROUP, "example.com"]),
    kind=st.sampled_from(["Gateway", "Gateway", "ListenerSet", "Service"]),
    namespace=st.sampled_from([None, None, *NAMESPACES]),
    section_name=st.sampled_from([None, None, "l", "m"]),
    port=st.sampled_from([None, None, 7000, 7001]),
)
BACKENDS = st.builds(
    BackendRef,
    name=st.sampled_from("xyz"),
    kind=st.sampled_from(["Service", "Service", "Service", "ConfigMap"]),
    namespace=st.sampled_from([None, None, *NAMESPACES]),
    port=st.sampled_from([80, 80, 53, 81, None]),
    weight=st.sampled_from([1, 0, 70]),
)
ROUTES = st.builds(
    lambda name, namespace, created, refs, backends: TcpRoute(
        meta(name, namespace, created), TcpRouteSpec((RouteRule(tuple(backends)),), tuple(refs))
    ),
    st.sampled_from("abc"),
    IN,
    CREATED,
    st.lists(REFS, max_size=3),
    st.lists(BACKENDS, min_size=1, max_size=3),
)
TLS_ROUTES = st.builds(
    lambda route, hostnames: TlsRoute(
        route.metadata, TlsRouteSpec(tuple(hostnames), route.spec.rules, route.spec.parent_refs)
    ),
    ROUTES,
    st.lists(st.sampled_from(["*.x", "a.x", "*.b.x", "a.b.x", "*.y", "y"]), min_size=1, max_size=2, unique=True),
)
GRANTS = st.builds(
    lambda name, namespace, kind, of, to, named: ReferenceGrant(
        meta(name, namespace),
        ReferenceGrantSpec((GrantFrom(GROUP, kind, of),), (GrantTo("", to, named),)),
    ),
    NAMES,
    IN,
    st.sampled_from(["TCPRoute", "TLSRoute", "Gateway"]),
    IN,
    st.sampled_from(["Service", "Service", "Secret"]),
    st.sampled_from([None, "", "x", "y"]),
)
SERVICES = st.builds(
    lambda name, namespace: Service(
        meta(name, namespace), ServiceSpec(ports=(ServicePort(80, "tcp"), ServicePort(53, "dns", "UDP")))
    ),
    st.sampled_from("xyz"),
    IN,
)
SPACES = st.builds(
    lambda name, labels: Namespace(meta(name, "", labels=labels)),
    IN,
    st.sampled_from([None, {"a": "1"}, {"a": "2", "b": ""}]),
)
OBJECTS = st.one_of(CLASSES, GATEWAYS, SETS, ROUTES, TLS_ROUTES, GRANTS, SERVICES, SPACES)


@st.composite
def _steps(draw: st.DrawFn) -> list[list[tuple[bool | None, KubernetesObject]]]:
    made = st.tuples(st.sampled_from([True, True, True, None, False]), OBJECTS)
    return draw(st.lists(st.lists(made, min_size=1, max_size=8), min_size=1, max_size=5))


def _start(store: Store) -> None:
    store.put(GatewayClass(meta("a", ""), GatewayClassSpec(OURS)))


def _give_pods(store: Store) -> None:
    """Have an endpoint of every Service that there can be, whose address tells whose it is."""
    port = EndpointPort(name="tcp", port=80, protocol="TCP")
    for namespace in NAMESPACES:
        for name in "xyz":
            store.put(endpoint_slice(_address(namespace, name), service=name, namespace=namespace, ports=(port,)))


def _address(namespace: str, service: str) -> str:
    return f"10.{NAMESPACES.index(namespace)}.0.{'xyz'.index(service) + 1}"


def _told(there: Any, other: KubernetesObject) -> KubernetesObject:
    """Give an object with a status, and for a route that of another's parents, which need not be its own."""
    metadata = replace(there.metadata, resource_version=f"{there.metadata.resource_version}x")
    if not isinstance(other, TcpRoute | TlsRoute):
        return cast("KubernetesObject", replace(there, metadata=metadata))
    parents = tuple(ParentStatus(ref, OURS) for ref in other.spec.parent_refs or ())
    return cast("KubernetesObject", replace(there, metadata=metadata, status=GatewayRouteStatus(parents)))


def _apply(store: Store, changes: list[tuple[bool | None, KubernetesObject]]) -> None:
    """Put (True) or delete (False) objects, or have what is there of their name be told something (None)."""
    for is_there, obj in changes:
        if is_there is None and isinstance(obj, Gateway | ListenerSet | TcpRoute | TlsRoute):
            there = store.objects.gateway_api.by_kind[type(obj)].get(obj.key)
            if there is not None:
                store.put(_told(there, obj))
        elif is_there:
            store.put(obj)
        else:
            store.delete(type(obj), obj.key)


@given(_steps())
@settings(max_examples=300, deadline=None)
def test_statuses_are_those_of_the_model_and_of_a_full_rebuild(
    steps: list[list[tuple[bool | None, KubernetesObject]]],
) -> None:
    """Random classes, Gateways, ListenerSets, routes, grants, Services and namespaces, changed at random; traffic follows."""
    store, admission = Store(), Admission(SETTINGS)
    _start(store)
    _give_pods(store)
    for changes in steps:
        _apply(store, changes)
        outcome = admission.update(store.objects, store.take()[0])
        objects = store.objects
        again = Admission(SETTINGS, admission.memory()).update(objects, objects.everything())
        assert dict(outcome.gateway_api) == dict(again.gateway_api)
        assert outcome.model == again.model
        assert dict(outcome.verdicts) == dict(again.verdicts)
        _check_routes(objects, outcome.gateway_api)
        _check_gateways(objects, outcome.gateway_api)
        _check_sets(objects, outcome.gateway_api)
        _check_traffic(objects, outcome)


EVERYBODY = AllowedRoutes(RouteNamespaces("All"))
CROWDED = st.lists(
    st.builds(
        Listener,
        name=st.sampled_from(["l", "m", "n"]),
        port=st.sampled_from([7000, 7000, 7000, 7001]),
        protocol=st.sampled_from(["TCP", "TLS", "TLS", "TLS"]),
        hostname=st.sampled_from([None, "*.x", "a.x", "*.b.x"]),
        tls=st.just(ListenerTls("Passthrough")),
        allowed_routes=st.just(EVERYBODY),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda each: each.name,
).map(tuple)
PARENTS = st.lists(
    st.one_of(
        st.just(ParentRef("a", namespace="team")),
        st.builds(lambda name, of: ParentRef(name, kind="ListenerSet", namespace=of), st.sampled_from("abc"), IN),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
TO_ONE = st.builds(lambda name: (RouteRule((BackendRef(name, port=80),)),), st.sampled_from("xyz"))
CROWD = st.tuples(
    CROWDED.map(lambda each: Gateway(meta("a", "team"), GatewaySpec("a", each, allowed_listeners=TAKES_ALL))),
    st.lists(
        st.builds(
            lambda name, namespace, created, listeners: ListenerSet(
                meta(name, namespace, created), ListenerSetSpec(ParentGatewayRef("a", namespace="team"), listeners)
            ),
            st.sampled_from("abc"),
            IN,
            CREATED,
            CROWDED,
        ),
        max_size=5,
    ),
    st.lists(
        st.builds(
            lambda name, namespace, created, rules, refs, hostnames: TlsRoute(
                meta(name, namespace, created), TlsRouteSpec(tuple(hostnames), rules, refs)
            ),
            st.sampled_from("abc"),
            IN,
            CREATED,
            TO_ONE,
            PARENTS,
            st.lists(st.sampled_from(["*.x", "a.x", "*.b.x", "a.b.x", "b.x"]), min_size=1, max_size=3, unique=True),
        ),
        max_size=5,
    ),
    st.lists(
        st.builds(
            lambda name, namespace, created, rules, refs: TcpRoute(
                meta(name, namespace, created), TcpRouteSpec(rules, refs)
            ),
            st.sampled_from("ab"),
            IN,
            CREATED,
            TO_ONE,
            PARENTS,
        ),
        max_size=3,
    ),
)


@given(CROWD, st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_many_at_one_gateway_have_their_order_and_are_led_apart(
    crowd: tuple[Gateway, list[ListenerSet], list[TlsRoute], list[TcpRoute]], leaving: int
) -> None:
    """A Gateway that takes all sets and routes, on two ports, with names under each other; then one of all these goes."""
    store, admission = Store(), Admission(SETTINGS)
    _start(store)
    _give_pods(store)
    there: list[KubernetesObject] = [crowd[0], *crowd[1], *crowd[2], *crowd[3]]
    services = (
        Service(meta(name, namespace), ServiceSpec(ports=(ServicePort(80, "tcp"),)))
        for namespace in NAMESPACES
        for name in "xyz"
    )
    store.put(*services, *there)
    for _ in range(2):
        outcome = admission.update(store.objects, store.take()[0])
        objects = store.objects
        _check_routes(objects, outcome.gateway_api)
        _check_gateways(objects, outcome.gateway_api)
        _check_sets(objects, outcome.gateway_api)
        _check_traffic(objects, outcome)
        gone = there[leaving % len(there)]
        store.delete(type(gone), gone.key)


PODS = st.builds(
    lambda name, namespace, number: endpoint_slice(
        f"10.9.0.{number}",
        service=name,
        namespace=namespace,
        ports=(EndpointPort(name="tcp", port=80, protocol="TCP"),),
    ),
    st.sampled_from("xyz"),
    IN,
    st.integers(1, 3),
)


@given(
    CROWD,
    st.lists(
        st.tuples(st.sampled_from([True, True, False]), st.one_of(ROUTES, TLS_ROUTES, SERVICES, GRANTS, PODS)),
        max_size=12,
    ),
)
@settings(max_examples=100, deadline=None)
def test_one_change_after_another_at_one_gateway_comes_to_what_a_full_rebuild_does(
    crowd: tuple[Gateway, list[ListenerSet], list[TlsRoute], list[TcpRoute]],
    changes: list[tuple[bool, KubernetesObject]],
) -> None:
    """Where all routes are at the same few listeners: a route, a Service, a grant or an endpoint at a time."""
    store, admission = Store(), Admission(SETTINGS)
    _start(store)
    _give_pods(store)
    store.put(crowd[0], *crowd[1], *crowd[2], *crowd[3])
    for change in (None, *changes):
        _apply(store, [change] if change is not None else [])
        outcome = admission.update(store.objects, store.take()[0])
        again = Admission(SETTINGS, admission.memory()).update(store.objects, store.objects.everything())
        assert dict(outcome.gateway_api) == dict(again.gateway_api)
        assert outcome.model == again.model
        assert dict(outcome.verdicts) == dict(again.verdicts)
    _check_routes(store.objects, outcome.gateway_api)


def _check_routes(objects: Objects, states: Mapping[StateKey, State]) -> None:
    for route in model.routes_of(objects):
        key = route.key
        state = states.get(StateKey(model.kind_of(route), *key))
        parents = model.parents(route, objects, OURS)
        if not parents:
            # What is written of us is to be taken back.
            has_entry = any(each.controller_name == OURS for each in route.status.parents or ())
            assert isinstance(state, RouteState) is has_entry
            assert not (isinstance(state, RouteState) and state.parents)
            continue
        assert isinstance(state, RouteState)
        assert [each.ref for each in state.parents] == [ref for ref, _ in parents]
        for said, (ref, owner) in zip(state.parents, parents, strict=True):
            reasons = {each.type: each.reason for each in said.conditions}
            reason, listeners = model.acceptance(route, ref, owner, objects)
            assert reasons["Accepted"] == reason
            assert reasons["ResolvedRefs"] == model.refs_reason(route, objects)
            firsts = {
                any(each is route for each in model.having(owner, view, objects, OURS))
                for view in owner.spec.listeners or ()
                if view.name in listeners
            }
            served = {frozenset({True}): "Served", frozenset({False}): "OlderRouteIsServed", frozenset(): None}
            wanted = served.get(frozenset(firsts), "ServedInPart")
            told = reasons.get("tcp-router.openshift.io/Serves")
            is_served = model.is_served(owner, objects) or wanted is None
            assert told == (wanted if is_served else "GatewayNotServed")


def _check_gateways(objects: Objects, states: Mapping[StateKey, State]) -> None:
    for key, gateway in objects.gateway_api.gateways.items():
        state = states.get(StateKey("Gateway", *key))
        if not model.is_ours(gateway, objects, OURS):
            assert state is None
            continue
        assert isinstance(state, GatewayState)
        _check_listeners(gateway, state, objects)
        bad = [each for each in state.listeners if each.accepted.reason != "Accepted"]
        assert state.accepted.holds is (len(bad) < len(state.listeners))
        assert (state.accepted.reason == "ListenersNotValid") is bool(bad)
        taken = model.sets_of(gateway, objects)
        assert [(each.namespace, each.name) for each in state.sets or ()] == [each.key for each in taken]


def _check_sets(objects: Objects, states: Mapping[StateKey, State]) -> None:
    for key, listener_set in objects.gateway_api.listener_sets.items():
        state, gateway = states.get(StateKey("ListenerSet", *key)), model.gateway_of(listener_set, objects)
        if gateway is None or not model.is_ours(gateway, objects, OURS):
            assert state is None
            continue
        assert isinstance(state, ListenerSetState)
        assert state.gateway == StateKey("Gateway", *gateway.key)
        if not model.is_taken(listener_set, objects):
            assert (state.accepted.holds, state.accepted.reason, state.listeners) == (False, "NotAllowed", ())
            continue
        _check_listeners(listener_set, state, objects)
        bad = [each for each in state.listeners if each.accepted.reason != "Accepted"]
        reason = "ListenersNotValid" if bad else "Accepted"
        assert state.accepted.reason == (reason if model.is_served(gateway, objects) else "ParentNotAccepted")
        assert state.accepted.holds is state.programmed.holds is model.is_served(listener_set, objects)


def _check_listeners(owner: Gateway | ListenerSet, state: GatewayState | ListenerSetState, objects: Objects) -> None:
    assert [each.name for each in state.listeners] == [each.name for each in owner.spec.listeners or ()]
    for said, listener in zip(state.listeners, owner.spec.listeners or (), strict=True):
        assert said.attached == len(model.attached(owner, listener.name, objects, OURS))
        assert list(said.kinds) == model.kinds(listener)
        assert said.accepted.reason == model.listener_reason(owner, listener, objects)
        assert said.resolved.holds is not model.has_odd_kinds(listener)
        assert said.conflicted.holds is (said.accepted.reason in {"ProtocolConflict", "HostnameConflict"})


def _admitted(objects: Objects, outcome: Outcome) -> Iterator[tuple[Owner, Listener, Asker]]:
    """Give the listeners that have what they claim."""
    for asker, verdict in outcome.verdicts.items():
        found = objects.gateway_api.by_kind[Gateway if asker.kind == "Gateway" else ListenerSet].get(
            ObjectKey(*asker.key)
        )
        if asker.section and verdict.admitted and found is not None:
            yield found, next(each for each in found.spec.listeners or () if each.name == asker.section), asker


def _check_traffic(objects: Objects, outcome: Outcome) -> None:
    """A TCP port leads to the endpoints of its oldest route; a TLS port leads each host to the route that the most specific listener of all has for it."""
    sections = {each.asker: each for each in outcome.model.routes}
    by_port: dict[int, list[tuple[Owner, Listener, Asker]]] = {}
    for owner, listener, asker in _admitted(objects, outcome):
        if listener.protocol == "TLS":
            by_port.setdefault(listener.port, []).append((owner, listener, asker))
            continue
        having = model.having(owner, listener, objects, OURS)
        assert _led_to(sections[asker]) == (_reached(having[0], objects) if having else set())
    for port, there in by_port.items():
        (shared,) = [each for each in outcome.model.shared if each.spot.port == port]
        names = {f"*{each.host}" if each.host.startswith(".") else each.host: each for each in shared.hosts}
        for host in model.HOSTS:
            meant = _most_specific([each.hostname or "*" for _, each, _ in there], host)
            found = _most_specific(names, host)
            if meant is None:
                assert found is None
                continue
            owner, listener, asker = next(each for each in there if (each[1].hostname or "*") == meant)
            route = model.leads(host, listener, model.attached(owner, listener.name, objects, OURS))
            assert found is not None
            led = names[found].asker
            assert (led.kind, *led.key) == (("TLSRoute", *route.key) if route is not None else (asker.kind, *asker.key))
            if route is not None:
                assert _led_to(sections[led]) == _reached(route, objects)


def _most_specific(names: Iterable[str], host: str) -> str | None:
    there = [each for each in names if model.go_by(each, host)]
    return max(there, key=lambda each: ("*" not in each, len(each)), default=None)


def _led_to(section: RouteSection) -> set[str]:
    return {each.address for each in section.backend.servers} - {REFUSING}


def _reached(route: model.Served, objects: Objects) -> set[str]:
    refs = [ref for rule in route.spec.rules or () for ref in rule.backend_refs or ()]
    good = (ref for ref in refs if not model.backend_reason(route, ref, objects))
    return {_address(ref.namespace or route.metadata.namespace, ref.name) for ref in good}


def _weights(*backends: BackendRef, endpoints: tuple[str, ...] = ("x", "y")) -> dict[str, int]:
    """Give the weights of what a listener with one route leads to, by Service."""
    store = Store()
    _start(store)
    store.put(
        Gateway(meta("gw", "team"), GatewaySpec("a", (Listener("l", 7000, "TCP"),))),
        TcpRoute(meta("r", "team"), TcpRouteSpec((RouteRule(backends),), (ParentRef("gw"),))),
        *(Service(meta(name, "team"), ServiceSpec(ports=(ServicePort(80),))) for name in "xy"),
        *(
            endpoint_slice(
                *(f"10.0.{ord(name)}.{n}" for n in (1, 2)),
                service=name,
                namespace="team",
                ports=(EndpointPort(name="", port=8080, protocol="TCP"),),
            )
            for name in endpoints
        ),
    )
    outcome = Admission(SETTINGS).update(store.objects, store.take()[0])
    (section,) = outcome.model.routes
    found: dict[str, int] = {}
    for server in section.backend.servers:
        name = "refused" if server.address == REFUSING else {"120": "x", "121": "y"}[server.address.split(".")[2]]
        found[name] = found.get(name, 0) + server.weight
    return found


def _shares(weights: dict[str, int]) -> dict[str, float]:
    whole = sum(weights.values())
    return {name: round(weight / whole, 2) for name, weight in weights.items()}


def test_weights_are_shared_over_endpoints_and_what_cannot_be_had_refuses_its_share() -> None:
    """Of 70, 20 and 10 for nobody: a Service that is not there, one without endpoints, a kind that is none."""
    full = _weights(BackendRef("x", port=80, weight=70), BackendRef("y", port=80, weight=30))
    assert _shares(full) == {"x": 0.7, "y": 0.3}
    for refused in (BackendRef("gone", port=80, weight=10), BackendRef("x", kind="Pod", weight=10)):
        weights = _weights(BackendRef("x", port=80, weight=70), BackendRef("y", port=80, weight=20), refused)
        assert _shares(weights) == {"x": 0.7, "y": 0.2, "refused": 0.1}
    empty = _weights(BackendRef("x", port=80, weight=70), BackendRef("y", port=80, weight=30), endpoints=("x",))
    assert _shares(empty) == {"x": 0.7, "refused": 0.3}
    assert _weights(BackendRef("gone", port=80)) == {}
    assert _weights(BackendRef("x", port=80, weight=0), BackendRef("y", port=80, weight=0)) == {"x": 0, "y": 0}


@given(st.lists(st.tuples(st.integers(0, 3), st.frozensets(st.integers(0, 3))), max_size=20))
def test_an_index_goes_both_ways(puts: list[tuple[int, frozenset[int]]]) -> None:
    """Members by keys are what the last keys of each member say."""
    index: Index[int, int] = Index()
    last: dict[int, frozenset[int]] = {}
    for member, keys in puts:
        index.put(member, keys)
        last[member] = keys
    for key in range(4):
        assert index.of(key) == {member for member, keys in last.items() if key in keys}
    assert all(index.keys_of(member) == keys for member, keys in last.items())


def test_a_gateway_that_is_held_is_rejected_alone_and_taken_up_again() -> None:
    """What isolation leaves out has no state; all others go on."""
    store, admission = Store(), Admission(SETTINGS)
    _start(store)
    gateways = [
        Gateway(meta(name, "team"), GatewaySpec("a", (Listener("l", port, "TCP"),)))
        for name, port in (("g", 7000), ("h", 7001))
    ]
    store.put(*gateways)
    admission.update(store.objects, store.take()[0])
    slot = (Gateway, ObjectKey("team", "g"))
    for held, has in ((gateways[0], {"h"}), (None, {"g", "h"})):
        admission.hold(slot, held)
        changes = store.objects.everything()
        outcome = admission.update(store.objects, changes)
        assert {key.name for key in outcome.gateway_api if key.kind == "Gateway"} == has
        assert {each.asker.name for each in outcome.model.routes} == has


def test_a_route_without_connections_is_told_who_has_its_names() -> None:
    """Not who has others of the listener; and of names that nobody can be led by, that nobody has them."""
    store, admission = Store(), Admission(SETTINGS)
    _start(store)
    listener = Listener("l", 7000, "TLS", None, ListenerTls("Passthrough"))
    store.put(Gateway(meta("g", "team"), GatewaySpec("a", (listener,))))
    too_long = "*.a.b.c.d.e.f.x"
    for name, created, host in (
        ("a", "2026-01-01T00:00:02Z", "a.x"),
        ("b", "2026-01-01T00:00:00Z", "b.x"),
        ("c", "2026-01-01T00:00:01Z", "b.x"),
        ("d", "2026-01-01T00:00:00Z", too_long),
    ):
        store.put(TlsRoute(meta(name, "team", created), TlsRouteSpec((host,), None, (ParentRef("g"),))))
    outcome = admission.update(store.objects, store.take()[0])
    told = {}
    for key, state in outcome.gateway_api.items():
        if isinstance(state, RouteState):
            *_, serves = state.parents[0].conditions
            told[key.name] = serves.reason, serves.message
    assert told == {
        "a": ("Served", ""),
        "b": ("Served", ""),
        "c": ("OlderRouteIsServed", "connections of listener 'l' go to TLSRoute team/b, which is older"),
        "d": ("ListenerNotServed", "listener 'l' leads by none of the route's names"),
    }
