"""TCPRoutePolicies: they say what annotations say, by one reading; who has a target equals a slow model; nobody's policy reaches another's objects."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from router.admission import Admission, Outcome
from router.admission.gateway.imposed import options_for, under
from router.admission.gateway.states import GatewayState, PolicyState, RouteState, StateKey
from router.admission.gateway.things import object_of
from router.admission.gateway.wishes import FIELDS, NO_WISHES, annotations_in, common, of_route, read_wishes
from router.admission.options import RATE_LIMIT, read_options
from router.admission.verdicts import NotAcceptable
from router.model import RouteSection
from router.objects.core import Service, ServicePort, ServiceSpec
from router.objects.decoding import Misfit, decode
from router.objects.discovery import EndpointPort
from router.objects.gateway import (
    AllowedRoutes,
    BackendRef,
    Gateway,
    GatewayClass,
    GatewayClassSpec,
    GatewaySpec,
    Listener,
    ListenerSet,
    ListenerSetSpec,
    ListenerTls,
    ParentGatewayRef,
    ParentRef,
    RouteNamespaces,
    RouteRule,
    TcpRoute,
    TcpRouteSpec,
    TlsRoute,
    TlsRouteSpec,
)
from router.objects.gateway_objects import GatewayObjects
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey
from router.objects.store import Objects, Store
from router.objects.tcp_route_policy import PolicySpec, PolicyTarget, PolicyTimeouts, TcpRoutePolicy
from router.objects.unread import Unread
from router.settings import AdmissionSettings
from tests.support.crd import policies_schema
from tests.unit.admission.builders import endpoint_slice
from tests.unit.admission.test_gateway_book import CREATED, IN, NAMES, OURS, SETTINGS, TAKES_ALL, meta

GOOD: dict[str, Any] = {
    "allowlist": ["10.0.0.0/8", "fd00::7"],
    "limits.maxConnections": 7,
    "limits.podConcurrentConnections": 5,
    "limits.concurrentPerSource": 3,
    "limits.ratePerSource": 9,
    "balance.algorithm": "source",
    "balance.hashFactor": 150,
    "timeouts.tunnel": "8h",
    "timeouts.connect": "750ms",
    "timeouts.client": "20s",
    "timeouts.server": "21s",
    "proxyProtocol.accept": True,
    "proxyProtocol.send": "v2",
    "healthChecks.interval": "0",
    "healthChecks.onMarkedDown": "shutdown-sessions",
    "onRemoved": "shutdown-sessions",
    "tcpKeepalive": False,
    "tls.minVersion": "TLSv1.3",
    "tls.alpn": ["postgresql", "h2"],
    "clientCertificates.ca": "clients",
    "clientCertificates.crl": "revoked",
    "clientCertificates.mode": "optional",
}
BAD: dict[str, tuple[Any, str]] = {
    "allowlist": (["10.0.0.0/8", "db.example.com"], "spec.allowlist has the entry 'db.example.com'; accepted are IPs and CIDRs"),
    "limits.maxConnections": (0, "spec.limits.maxConnections is '0'; accepted is a whole number from 1"),
    "limits.podConcurrentConnections": (-1, "spec.limits.podConcurrentConnections is '-1'"),
    "limits.concurrentPerSource": (0, "spec.limits.concurrentPerSource is '0'"),
    "limits.ratePerSource": (0, "spec.limits.ratePerSource is '0'"),
    "balance.algorithm": ("fair", "spec.balance.algorithm is 'fair'; accepted is roundrobin"),
    "balance.hashFactor": (100, "spec.balance.hashFactor is '100'"),
    "timeouts.tunnel": ("8 h", "spec.timeouts.tunnel is '8 h'; accepted is a number with the unit us"),
    "timeouts.connect": ("25d", "spec.timeouts.connect is '25d'"),
    "timeouts.client": ("0", "spec.timeouts.client is '0'"),
    "timeouts.server": ("", "spec.timeouts.server is ''"),
    "proxyProtocol.send": ("v3", "spec.proxyProtocol.send is 'v3'"),
    "healthChecks.interval": ("never", "spec.healthChecks.interval is 'never'"),
    "healthChecks.onMarkedDown": ("cut", "spec.healthChecks.onMarkedDown is 'cut'"),
    "onRemoved": ("cut", "spec.onRemoved is 'cut'"),
    "tls.minVersion": ("TLSv1.1", "spec.tls.minVersion is 'TLSv1.1'"),
    "tls.alpn": (["h2,http/1.1\nx"], "spec.tls.alpn is"),
}  # fmt: skip
LISTED = {"allowlist": " ", "tls.alpn": ","}


def spec_of(fields: dict[str, Any]) -> dict[str, Any]:
    """Give a spec that says these, by their paths."""
    spec: dict[str, Any] = {}
    for path, value in fields.items():
        *steps, last = path.split(".")
        part = spec
        for step in steps:
            part = part.setdefault(step, {})
        part[last] = value
    return spec


def policy(fields: dict[str, Any], *targets: dict[str, str], name: str = "p") -> TcpRoutePolicy:
    """Make a policy, as a manifest has it."""
    refs = [{"group": "gateway.networking.k8s.io", **each} for each in targets]
    made = decode(
        TcpRoutePolicy,
        {"metadata": {"name": name, "namespace": "team"}, "spec": {"targetRefs": refs, **spec_of(fields)}},
    )
    assert isinstance(made, TcpRoutePolicy)
    return made


def text(path: str, value: Any) -> str:
    """Give a value as an annotation has it."""
    if path in LISTED:
        return LISTED[path].join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("path", GOOD)
def test_a_field_is_what_its_annotation_is(path: str) -> None:
    """The options are those that the annotation gives, which are other than those of nothing; the CRD takes it."""
    made = policy({path: GOOD[path]}, {"kind": "Gateway", "name": "gw"})
    said = {FIELDS[path]: text(path, GOOD[path])}
    if path.startswith("limits.") and path.endswith("PerSource"):
        said[RATE_LIMIT] = "true"
    assert annotations_in(made) == said
    wishes = read_wishes(made, SETTINGS)
    assert not wishes.problem
    defaults = SETTINGS.defaults
    wanted = dataclasses.replace(read_options(said, defaults, claims_port=True), warnings=())
    found = dataclasses.replace(options_for(wishes, wishes, defaults, has_shares=False), warnings=())
    assert found == wanted
    if not path.startswith(("tls.", "clientCertificates.")):
        assert wanted != read_options({}, defaults, claims_port=True)
    obj = {"spec": {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}], **spec_of({path: GOOD[path]})}}  # fmt: skip
    problems = policies_schema().problems(obj)
    assert problems == [] or path == "clientCertificates.crl"
    assert policies_schema().unknown_fields(obj) == []


def test_every_field_has_its_annotation_and_every_annotation_of_a_route_its_field() -> None:
    """None is forgotten on either side, but for what is about ports, hosts and Routes alone."""
    assert set(GOOD) == set(FIELDS)
    assert set(_paths(policies_schema().document)) == set(FIELDS)


def _paths(document: dict[str, Any]) -> list[str]:
    spec = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    found = []
    for name, member in spec.items():
        if name != "targetRefs":
            found += [f"{name}.{each}" for each in member["properties"]] if "properties" in member else [name]
    return found


@pytest.mark.parametrize("path", BAD)
def test_what_is_not_of_its_form_is_told_by_its_field_and_refused_by_the_crd(path: str) -> None:
    """In the words of the annotation's refusal, and nothing is served by it; the API server refuses what its schema can tell."""
    value, message = BAD[path]
    wishes = read_wishes(policy({path: value}, {"kind": "Gateway", "name": "gw"}), SETTINGS)
    assert wishes.problem.startswith(message)
    assert "annotation" not in wishes.problem
    assert "haproxy.router" not in wishes.problem
    if path not in {"timeouts.connect", "timeouts.client"}:
        obj = {"spec": {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}], **spec_of({path: value})}}  # fmt: skip
        assert policies_schema().problems(obj)
    if path not in LISTED and not path.startswith("tls."):
        with pytest.raises(NotAcceptable):
            read_options({FIELDS[path]: text(path, value), RATE_LIMIT: "true"}, SETTINGS.defaults, claims_port=True)


def test_a_field_that_is_not_known_is_refused() -> None:
    """It may be an allowlist that was mistyped."""
    found = decode(TcpRoutePolicy, {"metadata": {"name": "p"}, "spec": {"limits": {"maxConnection": 1}}})
    assert isinstance(found, Misfit)
    assert str(found) == "spec.limits.maxConnection: is no field that is known"


@pytest.mark.parametrize(
    "path",
    ["limits.maxConnections", "timeouts.client", "proxyProtocol.accept", "tls.minVersion", "tls.alpn", "clientCertificates.ca"],
)  # fmt: skip
def test_a_route_does_not_say_what_is_the_listeners_to_say(path: str) -> None:
    """The CRD refuses it; and what gets past it leads nobody anywhere."""
    made = policy({path: GOOD[path]}, {"kind": "TCPRoute", "name": "r"})
    found = of_route(read_wishes(made, SETTINGS))
    assert found.problem.startswith(f"spec.{path} is a property of the listener, and no route's to say")
    obj = {"spec": {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "TCPRoute", "name": "r"}], **spec_of({path: GOOD[path]})}}  # fmt: skip
    assert "target Gateways and ListenerSets alone" in str(policies_schema().problems(obj))


NETWORKS = st.lists(
    st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "10.1.2.2/31", "0.0.0.0/0", "::/0", "fd00::/8", "fd00::1", "192.168.0.0/16"]),
    min_size=1, unique=True,
).map(tuple)  # fmt: skip


@given(NETWORKS, NETWORKS)
def test_two_allowlists_let_in_whom_both_do(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    """By addresses in and beside all networks, whatever their order."""

    def lets_in(networks: tuple[str, ...], address: str) -> bool:
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(each) for each in networks)

    both = common(first, second)
    for address in (
        "10.0.0.1",
        "10.1.0.1",
        "10.1.2.3",
        "10.1.2.2",
        "11.0.0.1",
        "192.168.4.4",
        "fd00::1",
        "fd00::2",
        "fe80::1",
    ):
        assert lets_in(both, address) is (lets_in(first, address) and lets_in(second, address)), address
    assert len(set(both)) == len(both) <= len(first) + len(second)


# Who has a target, and what comes of it

ALLOWED = ("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "db.example.com")
PARENTS = ("Gateway", "ListenerSet")
PROBES = ("10.1.0.1", "10.2.0.1", "10.3.0.1", "11.0.0.1")
TARGETS = st.builds(
    lambda kind, name, section: PolicyTarget(kind, name, section_name=section if kind in PARENTS else None),
    st.sampled_from(["Gateway", "Gateway", "ListenerSet", "TCPRoute", "TLSRoute"]),
    NAMES,
    st.sampled_from([None, "l", "m", "s"]),
)
POLICIES = st.builds(
    lambda name, namespace, created, targets, allowlist, tunnel: TcpRoutePolicy(
        meta(name, namespace, created),
        PolicySpec(tuple(targets), allowlist=allowlist, timeouts=PolicyTimeouts(tunnel=tunnel) if tunnel else None),
    ),
    st.sampled_from("pqr"),
    IN,
    CREATED,
    st.lists(TARGETS, min_size=1, max_size=2, unique=True),
    st.none() | st.sampled_from(ALLOWED).map(lambda each: (each,)),
    st.sampled_from([None, "1m", "2m"]),
)
ALL = AllowedRoutes(RouteNamespaces("All"))
LISTENERS = st.sampled_from([
    Listener("l", 7000, "TCP", allowed_routes=ALL),
    Listener("m", 7001, "TCP", allowed_routes=ALL),
    Listener("m", 7002, "TLS", "*.x", ListenerTls("Passthrough"), ALL),
])  # fmt: skip
GATEWAYS = st.builds(
    lambda name, namespace, created, listeners: Gateway(
        meta(name, namespace, created), GatewaySpec("a", tuple(listeners), allowed_listeners=TAKES_ALL)
    ),
    NAMES,
    IN,
    CREATED,
    st.lists(LISTENERS, min_size=1, max_size=2, unique_by=lambda each: each.name),
)
SETS = st.builds(
    lambda name, namespace, created, gateway, port: ListenerSet(
        meta(name, namespace, created),
        ListenerSetSpec(ParentGatewayRef(gateway), (Listener("s", port, "TCP", allowed_routes=ALL),)),
    ),
    NAMES,
    IN,
    CREATED,
    NAMES,
    st.sampled_from([7003, 7004]),
)
REFS = st.builds(
    ParentRef,
    name=NAMES,
    kind=st.sampled_from(["Gateway", *PARENTS]),
    namespace=st.sampled_from([None, "team", "other"]),
)
RULES = (RouteRule((BackendRef("x", port=80),)),)
ROUTES = st.builds(
    lambda name, namespace, created, refs: TcpRoute(meta(name, namespace, created), TcpRouteSpec(RULES, tuple(refs))),
    NAMES,
    IN,
    CREATED,
    st.lists(REFS, min_size=1, max_size=2),
)
TLS_ROUTES = ROUTES.map(lambda each: TlsRoute(each.metadata, TlsRouteSpec(("a.x",), RULES, each.spec.parent_refs)))
OBJECTS = st.one_of(POLICIES, POLICIES, GATEWAYS, SETS, ROUTES, TLS_ROUTES)


def base() -> list[KubernetesObject]:
    """Give a class, and a Service with an endpoint in each namespace."""
    found: list[KubernetesObject] = [GatewayClass(meta("a", ""), GatewayClassSpec(OURS))]
    for namespace in ("team", "other"):
        port = (EndpointPort(name="", port=8080, protocol="TCP"),)
        found.append(Service(meta("x", namespace), ServiceSpec(ports=(ServicePort(80),))))
        found.append(endpoint_slice("10.9.9.9", service="x", namespace=namespace, ports=port))
    return found


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([True, True, True, False]), OBJECTS), min_size=1, max_size=8),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=300, deadline=None)
def test_what_is_told_and_served_is_that_of_the_model_and_of_a_full_rebuild(
    steps: list[list[tuple[bool, KubernetesObject]]],
) -> None:
    """Random policies over random Gateways, listeners and routes of two namespaces, changed at random."""
    store, admission = Store(), Admission(SETTINGS)
    store.put(*base())
    for changes in steps:
        for is_there, obj in changes:
            if is_there:
                store.put(obj)
            else:
                store.delete(type(obj), obj.key)
        outcome = admission.update(store.objects, store.take()[0])
        again = Admission(SETTINGS, admission.memory()).update(store.objects, store.objects.everything())
        assert dict(outcome.gateway_api) == dict(again.gateway_api)
        assert outcome.model == again.model
        _check_told(store.objects, outcome)
        _check_served(store.objects, outcome)


def _having(objects: Objects, kind: str, key: ObjectKey, section: str | None = None) -> TcpRoutePolicy | None:
    """Give the oldest policy of the target's own namespace that names the very target."""
    there = [
        each
        for each in objects.gateway_api.policies.values()
        if each.metadata.namespace == key.namespace
        and PolicyTarget(kind, key.name, section_name=section) in each.spec.target_refs
    ]
    return min(there, key=lambda each: (each.metadata.creation_timestamp or "9", each.metadata.name), default=None)


def _is_bad(policy: TcpRoutePolicy) -> bool:
    return policy.spec.allowlist == ("db.example.com",)


def _check_told(objects: Objects, outcome: Outcome) -> None:
    api = objects.gateway_api
    for key, each in api.policies.items():
        wanted = {}
        for ref in each.spec.target_refs:
            at = ObjectKey(key.namespace, ref.name)
            found = object_of(StateKey(ref.kind, *at), api)
            owned = found.spec.listeners if isinstance(found, Gateway | ListenerSet) else ()
            listeners = {one.name for one in owned or ()}
            parents: set[ObjectKey] = set()
            if isinstance(found, TcpRoute | TlsRoute):
                refs = found.spec.parent_refs or ()
                parents = {_gateway(api, one.kind, ObjectKey(one.namespace or key.namespace, one.name)) for one in refs}
            elif isinstance(found, ListenerSet):
                parents = {_gateway(api, "ListenerSet", at)}
            if found is None:
                wanted[ref] = "TargetNotFound"
            elif ref.kind != "Gateway" and not parents & api.gateways.keys():
                continue
            elif ref.section_name and ref.section_name not in listeners:
                wanted[ref] = "TargetNotFound"
            elif _having(objects, ref.kind, at, ref.section_name) is not each:
                wanted[ref] = "Conflicted"
            else:
                wanted[ref] = "Invalid" if _is_bad(each) else "Accepted"
        state = outcome.gateway_api.get(StateKey("TCPRoutePolicy", *key))
        told = {one.ref: one.accepted.reason for one in state.ancestors} if isinstance(state, PolicyState) else {}
        assert told == wanted


def _gateway(api: GatewayObjects, kind: str, key: ObjectKey) -> ObjectKey:
    """Give the Gateway that somebody names, himself or by a ListenerSet; one that is not there is somewhere else."""
    listener_set = api.listener_sets.get(key) if kind == "ListenerSet" else None
    if kind == "Gateway":
        return key
    return ObjectKey(key.namespace, listener_set.spec.parent_ref.name) if listener_set is not None else ObjectKey("", "")  # fmt: skip


def _check_served(objects: Objects, outcome: Outcome) -> None:
    sections = {each.asker: each for each in outcome.model.routes}
    api = objects.gateway_api
    parents: list[tuple[str, ObjectKey, Gateway | ListenerSet]] = [
        *(("Gateway", key, each) for key, each in api.gateways.items()),
        *(("ListenerSet", key, each) for key, each in api.listener_sets.items()),
    ]
    for kind, key, parent in parents:
        for listener in parent.spec.listeners or ():
            section = next(
                (each for asker, each in sections.items() if (asker.kind, asker.key, asker.section) == (kind, key, listener.name)), None,
            )  # fmt: skip
            if section is None or listener.protocol != "TCP":
                continue
            routes = [
                each
                for each in objects.gateway_api.tcp_routes.values()
                if any((ref.kind, ObjectKey(ref.namespace or each.metadata.namespace, ref.name)) == (kind, key) for ref in each.spec.parent_refs or ())
            ]  # fmt: skip
            if not routes:
                continue
            first = min(
                routes,
                key=lambda one: (one.metadata.creation_timestamp or "9", one.metadata.namespace, one.metadata.name),
            )
            _check_section(
                section,
                _having(objects, "TCPRoute", first.key),
                _having(objects, kind, key, listener.name),
                _having(objects, kind, key),
                *((_having(objects, "Gateway", _gateway(api, kind, key)),) if kind != "Gateway" else ()),
            )


def _check_section(section: RouteSection, *levels: TcpRoutePolicy | None) -> None:
    """The most specific one that says it has the timeout; an allowlist of each has to let a client in; one that is bad lets in nobody."""
    policies = [each for each in levels if each is not None]
    if any(map(_is_bad, policies)):
        assert section.backend.servers == ()
        return
    assert section.backend.servers
    tunnels = [each.spec.timeouts.tunnel for each in policies if each.spec.timeouts is not None]
    wanted = {"1m": 60_000, "2m": 120_000}[tunnels[0] or ""] if tunnels else SETTINGS.defaults.timeout_tunnel_ms
    assert section.backend.timeout_tunnel_ms == wanted
    lists = [each.spec.allowlist for each in policies if each.spec.allowlist is not None]
    networks = section.backend.allowlist
    assert (networks is None) is (not lists)
    for probe in PROBES:
        address = ipaddress.ip_address(probe)
        lets_in = networks is None or any(address in ipaddress.ip_network(each) for each in networks)
        assert lets_in is all(any(address in ipaddress.ip_network(each) for each in one) for one in lists)


def decided(*objects: KubernetesObject, by: AdmissionSettings = SETTINGS) -> Outcome:
    """Decide about these, with a class and Services."""
    store = Store()
    store.put(*base(), *objects)
    return Admission(by).update(store.objects, store.take()[0])


def _section(outcome: Outcome, kind: str) -> RouteSection:
    return next(each for each in outcome.model.routes if each.asker.kind == kind)


GATEWAY = Gateway(meta("gw", "team"), GatewaySpec("a", (Listener("l", 7000, "TCP", allowed_routes=ALL),)))
ROUTE = TcpRoute(meta("r", "other"), TcpRouteSpec(RULES, (ParentRef("gw", namespace="team"),)))


def in_namespace(made: TcpRoutePolicy, namespace: str) -> TcpRoutePolicy:
    """Give a policy of another namespace."""
    return TcpRoutePolicy(meta(made.metadata.name, namespace), made.spec)


def test_a_policy_reaches_nothing_of_another_namespace() -> None:
    """Neither the Gateway that one's route is at, nor a route of the same name elsewhere, nor the Gateway of one's own route by the route's policy."""
    for target in ({"kind": "Gateway", "name": "gw"}, {"kind": "Gateway", "name": "gw", "sectionName": "l"}):
        foreign = in_namespace(policy({"timeouts.client": "1h", "allowlist": ["0.0.0.0/0"]}, target), "other")
        outcome = decided(GATEWAY, ROUTE, foreign)
        assert outcome.model == decided(GATEWAY, ROUTE).model
        state = outcome.gateway_api[StateKey("TCPRoutePolicy", "other", "p")]
        assert isinstance(state, PolicyState)
        assert [each.accepted.reason for each in state.ancestors] == ["TargetNotFound"]
    foreign = policy({"allowlist": ["10.0.0.1"]}, {"kind": "TCPRoute", "name": "r"})
    assert decided(GATEWAY, ROUTE, foreign).model == decided(GATEWAY, ROUTE).model
    mine = in_namespace(policy({"proxyProtocol.accept": True}, {"kind": "TCPRoute", "name": "r"}), "other")
    served = _section(decided(GATEWAY, ROUTE, mine), "Gateway")
    assert served.frontend is not None
    assert not served.frontend.options.accept_proxy
    assert served.backend.servers == ()


def test_who_has_the_gateway_may_narrow_and_nobody_widens_that() -> None:
    """What a Gateway's policy says of who may connect holds for routes of other namespaces whatever theirs say; the rest is theirs to say otherwise."""
    of_gateway = policy(
        {"allowlist": ["10.0.0.0/8"], "limits.ratePerSource": 50, "timeouts.tunnel": "1m", "balance.algorithm": "source"},
        {"kind": "Gateway", "name": "gw"},
    )  # fmt: skip
    of_theirs = in_namespace(
        policy(
            {"allowlist": ["0.0.0.0/0"], "limits.ratePerSource": 1000, "timeouts.tunnel": "8h"},
            {"kind": "TCPRoute", "name": "r"},
        ),
        "other",
    )
    backend = _section(decided(GATEWAY, ROUTE, of_gateway, of_theirs), "Gateway").backend
    assert backend.allowlist == ("10.0.0.0/8",)
    assert backend.connection_limit is not None
    assert backend.connection_limit.per_3s == 50
    assert (backend.timeout_tunnel_ms, backend.balance) == (8 * 3600 * 1000, "source")


def test_a_bad_policy_is_not_passed_over_for_a_younger_one() -> None:
    """A typo in an allowlist lets nobody in, and no laxer policy takes its place."""
    bad = TcpRoutePolicy(
        meta("bad", "team", "2026-01-01T00:00:00Z"), PolicySpec((PolicyTarget("Gateway", "gw"),), ("10.0.0/8",))
    )
    lax = TcpRoutePolicy(
        meta("lax", "team", "2026-01-02T00:00:00Z"), PolicySpec((PolicyTarget("Gateway", "gw"),), ("0.0.0.0/0",))
    )
    outcome = decided(GATEWAY, ROUTE, bad, lax)
    assert _section(outcome, "Gateway").backend.servers == ()
    state = outcome.gateway_api[StateKey("Gateway", "team", "gw")]
    assert isinstance(state, GatewayState)
    assert "spec.allowlist has the entry '10.0.0/8'" in state.listeners[0].problem
    of_its_route = outcome.gateway_api[StateKey("TCPRoute", "other", "r")]
    assert isinstance(of_its_route, RouteState)
    assert [each.reason for each in of_its_route.parents[0].conditions] == [
        "Accepted",
        "ResolvedRefs",
        "ListenerNotServed",
    ]


def test_lists_with_nobody_in_common_let_in_nobody() -> None:
    """Each is good; together they are a closed door, not an open one."""
    of_gateway = policy({"allowlist": ["10.0.0.0/8"]}, {"kind": "Gateway", "name": "gw"})
    of_route_ = in_namespace(policy({"allowlist": ["192.168.0.0/16"]}, {"kind": "TCPRoute", "name": "r"}), "other")
    assert _section(decided(GATEWAY, ROUTE, of_gateway, of_route_), "Gateway").backend.allowlist == ()


def test_certificates_of_clients_that_cannot_be_asked_for_let_in_nobody() -> None:
    """At a listener that does not end TLS, as with Routes."""
    made = policy({"clientCertificates.ca": "clients"}, {"kind": "Gateway", "name": "gw"})
    outcome = decided(GATEWAY, ROUTE, made)
    assert _section(outcome, "Gateway").backend.servers == ()
    state = outcome.gateway_api[StateKey("TCPRoutePolicy", "team", "p")]
    assert isinstance(state, PolicyState)
    (ancestor,) = state.ancestors
    assert ancestor.accepted.reason == "Invalid"
    assert "target listeners with tls.mode Terminate alone" in ancestor.accepted.message


def test_nothing_said_is_nothing_wished() -> None:
    """A policy that says nothing is accepted, and changes nothing."""
    empty = policy({}, {"kind": "Gateway", "name": "gw"})
    assert read_wishes(empty, SETTINGS) == NO_WISHES
    assert decided(GATEWAY, ROUTE, empty).model == decided(GATEWAY, ROUTE).model


SET = ListenerSet(
    meta("s", "other"),
    ListenerSetSpec(ParentGatewayRef("gw", namespace="team"), (Listener("p", 7003, "TCP", allowed_routes=ALL),)),
)
OPEN_GATEWAY = Gateway(meta("gw", "team"), structs.replace(GATEWAY.spec, allowed_listeners=TAKES_ALL))
SET_ROUTE = TcpRoute(meta("q", "other"), TcpRouteSpec(RULES, (ParentRef("s", kind="ListenerSet"),)))


def of_set(fields: dict[str, Any], **section: str) -> TcpRoutePolicy:
    """Give a policy of the ListenerSet, or of one of its listeners."""
    made = policy(
        fields, {"kind": "ListenerSet", "name": "s", **section}, name=f"of-{section.get('sectionName', 'set')}"
    )
    return in_namespace(made, "other")


def told(outcome: Outcome, namespace: str, name: str) -> list[tuple[str, str]]:
    """Give reason and message of each of a policy's targets."""
    state = outcome.gateway_api[StateKey("TCPRoutePolicy", namespace, name)]
    assert isinstance(state, PolicyState)
    return [(each.accepted.reason, each.accepted.message) for each in state.ancestors]


def test_a_listener_of_a_set_goes_before_its_set_and_that_before_the_gateway() -> None:
    """Field by field; who may connect has to be let in by all three, and the Gateway's own listeners are not concerned."""
    outcome = decided(
        OPEN_GATEWAY, SET, ROUTE, SET_ROUTE,
        policy({"timeouts.client": "1m", "limits.maxConnections": 9, "timeouts.server": "5m", "allowlist": ["10.0.0.0/8"]}, {"kind": "Gateway", "name": "gw"}),
        of_set({"timeouts.client": "2m", "timeouts.tunnel": "1h", "allowlist": ["10.1.0.0/16", "192.168.0.0/16"]}),
        of_set({"timeouts.client": "3m", "limits.ratePerSource": 5}, sectionName="p"),
    )  # fmt: skip
    section = _section(outcome, "ListenerSet")
    assert section.frontend is not None
    assert (section.frontend.options.timeout_client_ms, section.frontend.options.maxconn) == (180_000, 9)
    assert (section.backend.timeout_tunnel_ms, section.backend.timeout_server_ms) == (3_600_000, 300_000)
    assert section.backend.allowlist == ("10.1.0.0/16",)
    assert section.backend.connection_limit is not None
    own = _section(outcome, "Gateway")
    assert own.frontend is not None
    assert (own.frontend.options.timeout_client_ms, own.backend.allowlist) == (60_000, ("10.0.0.0/8",))
    assert told(outcome, "other", "of-set") == told(outcome, "other", "of-p") == [("Accepted", "")]


def test_who_has_a_set_does_not_widen_what_the_gateways_owner_imposes() -> None:
    """Neither by certificates of clients that need not be shown, nor by an older TLS, nor by addresses that clients say themselves."""
    said: dict[str, Any] = {
        "clientCertificates.ca": "clients",
        "tls.minVersion": "TLSv1.3",
        "allowlist": ["10.0.0.0/8"],
    }
    imposer = read_wishes(policy(said, {"kind": "Gateway", "name": "gw"}), SETTINGS)
    lax = read_wishes(of_set({"clientCertificates.ca": "mine", "clientCertificates.mode": "optional", "tls.minVersion": "TLSv1.2"}), SETTINGS)  # fmt: skip
    for is_foreign in (True, False):
        found = dict(under(imposer, lax, is_foreign=is_foreign).said)
        assert (found[FIELDS["clientCertificates.ca"]], found[FIELDS["tls.minVersion"]]) == ("clients", "TLSv1.3")
        assert FIELDS["clientCertificates.mode"] not in found
    accepts = of_set({"proxyProtocol.accept": True})
    for fields in ({"allowlist": ["10.0.0.0/8"]}, {"limits.concurrentPerSource": 3}):
        of_gateway = policy(fields, {"kind": "Gateway", "name": "gw"})
        outcome = decided(OPEN_GATEWAY, SET, SET_ROUTE, of_gateway, accepts)
        assert _section(outcome, "ListenerSet").backend.servers == ()
        ((reason, message),) = told(outcome, "other", "of-set")
        assert (reason, "lets clients say themselves where they come from" in message) == ("Invalid", True)
        of_gateway = policy({**fields, "proxyProtocol.accept": True}, {"kind": "Gateway", "name": "gw"})
        outcome = decided(OPEN_GATEWAY, SET, SET_ROUTE, of_gateway, accepts)
        assert _section(outcome, "ListenerSet").backend.servers
        assert told(outcome, "other", "of-set") == [("Accepted", "")]


def test_a_policy_of_a_set_waits_for_it_and_for_its_listener() -> None:
    """A set that is not there, or has no such listener, or is of nobody's Gateway."""
    by_section = of_set({"allowlist": ["10.0.0.1"]}, sectionName="nobody")
    assert told(decided(OPEN_GATEWAY, SET, by_section), "other", "of-nobody")[0][0] == "TargetNotFound"
    assert told(decided(OPEN_GATEWAY, by_section), "other", "of-nobody")[0][0] == "TargetNotFound"
    assert StateKey("TCPRoutePolicy", "other", "of-nobody") not in decided(SET, by_section).gateway_api


def test_policies_that_are_not_known_close_what_they_may_be_of() -> None:
    """Those of one namespace: its Gateways, with what others bring to them and lead from them, its sets and its routes; and no others."""
    store, admission = Store(), Admission(SETTINGS)
    store.put(*base(), OPEN_GATEWAY, SET, ROUTE, SET_ROUTE)

    def served() -> set[str]:
        outcome = admission.update(store.objects, store.take()[0])
        again = Admission(SETTINGS, admission.memory()).update(store.objects, store.objects.everything())
        assert (outcome.gateway_api, outcome.model) == (again.gateway_api, again.model)
        return {each.asker.kind for each in outcome.model.routes if each.backend.servers}

    assert served() == {"Gateway", "ListenerSet"}
    for namespace, wanted in (("third", {"Gateway", "ListenerSet"}), ("team", set()), ("other", set()), ("", set())):
        store.put(Unread.of("tcproutepolicies", namespace, "not known"))
        assert served() == wanted
        store.delete(Unread, ObjectKey(namespace, "tcproutepolicies"))
        assert served() == {"Gateway", "ListenerSet"}
    store.put(Unread.of("tcproutepolicies", "other", "not known"), TcpRoute(meta("r", "team"), ROUTE.spec))
    store.delete(TcpRoute, ROUTE.key)
    assert served() == {"Gateway"}
