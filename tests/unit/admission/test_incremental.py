"""Deciding after each change gives what a full rebuild gives, and keeps what did not change."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission import Admission, Outcome
from router.admission.options import PREFIX
from router.objects import cis
from router.objects.asker_note import AskerNote
from router.objects.cis import TransportServer
from router.objects.core import RouterPod, Service, ServicePort
from router.objects.credential import DEFAULTS, Credential, Lack
from router.objects.discovery import EndpointPort, EndpointSlice
from router.objects.gateway import GrantFrom, GrantTo, ReferenceGrant, ReferenceGrantSpec
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.namespace import Namespace, PolicyRule, PortPolicy
from router.objects.pair_note import PairNote
from router.objects.portclaim import ClaimHolder, PortClaim
from router.objects.porter import CLAIM_KIND, FINALIZER, GROUP, ClaimMeta, TransportServerClaim
from router.objects.portnote import PortNote
from router.objects.resolved import ResolvedName
from router.objects.route import Route, RouteTarget, RouteTLS, SecretReference
from router.objects.store import Changes, Store
from router.settings import AdmissionSettings, NamedAddress, PortRanges
from tests.support.certificates import make
from tests.unit.admission.builders import (
    NAMESPACE,
    SETTINGS,
    asker,
    asking,
    balanced,
    endpoint,
    endpoint_slice,
    holding,
    port_claim,
    resolved,
    route,
    service,
)
from tests.unit.admission.test_policy import namespace

NAMES = st.sampled_from("abcd")
SERVICE_NAMES = st.sampled_from(["x", "y", "z"])
WILD = replace(
    SETTINGS,
    allow_wildcard_routes=True,
    addresses={
        "inside": NamedAddress(ips=("10.0.0.1",)),
        "outside": NamedAddress(ips=("10.0.0.2",), overlaps=False),
        "nobodys": NamedAddress(ips=("10.0.0.3",)),
    },
    default_addresses=frozenset({"inside", "outside"}),
)
PORTS = st.sampled_from([None, 7000, 7001, 22, "auto", "auto"])
AUTO = replace(WILD, auto_ports=PortRanges(((7000, 7002),)))
CLAIMS = replace(AUTO, claim_ports=PortRanges(((7001, 7003),)), server_claims="default", transport_servers=True)
_MADE, _OTHER = make("a.example.com"), make("b.example.com")
HOSTS = st.sampled_from(["", "a.example.com", "b.example.com", "-"])

ROUTES = st.builds(
    route,
    NAMES,
    PORTS,
    host=HOSTS,
    wildcard=st.sampled_from(["None", "None", "Subdomain"]),
    tls=st.sampled_from(
        [
            None,
            RouteTLS("passthrough"),
            RouteTLS("passthrough"),
            RouteTLS("passthrough"),
            RouteTLS("edge"),
            RouteTLS("reencrypt"),
            RouteTLS("edge", certificate=_MADE.pem, key=_MADE.key),
            RouteTLS("reencrypt", destination_ca_certificate=_MADE.pem),
            RouteTLS("edge", external_certificate=SecretReference("one")),
            RouteTLS("reencrypt", external_certificate=SecretReference("two")),
        ]
    ),
    to=SERVICE_NAMES,
    alternates=st.none()
    | st.builds(RouteTarget, name=SERVICE_NAMES, weight=st.integers(0, 256)).map(lambda each: (each,)),
    target_port=st.sampled_from([5432, "pg", None]),
    created=st.sampled_from(["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", None]),
    annotations=st.dictionaries(
        st.sampled_from(
            [
                f"{PREFIX}external-tcp-port-sni",
                f"{PREFIX}external-tcp-port-sni",
                f"{PREFIX}accept-proxy",
                f"{PREFIX}accept-poxy",
                f"{PREFIX}router-name",
                f"{PREFIX}external-address",
                f"{PREFIX}external-address",
            ]
        ),
        st.sampled_from(["true", "true", "false", "nonsense", "inside", "inside", "outside", "nobodys"]),
        max_size=2,
    ),
    status=st.sampled_from([None, holding(7000), holding(7001, "a.example.com"), holding(host="a.example.com")]),
)
SERVICES = st.builds(
    service,
    SERVICE_NAMES,
    kind=st.sampled_from(["ClusterIP", "ClusterIP", "ExternalName", "ExternalName"]),
    external_name=st.sampled_from(["db.example.com", "DB.example.com.", "web.example.com", "example.org", "_"]),
    affinity=st.sampled_from(["None", "ClientIP"]),
)
ASKING = (
    st.builds(
        asking,
        SERVICE_NAMES,
        st.sampled_from(
            [
                None,
                "7000",
                "7001",
                "auto",
                "pg=auto metrics=7001",
                "22",
                "pg=7000",
                "pg=7001 metrics=7000",
                "metrics=7001 dns=7002",
                "pg=7000 metrics=7000",
                "-",
            ]
        ),
        kind=st.sampled_from(["ClusterIP", "ClusterIP", "ClusterIP", "ExternalName"]),
        created=st.sampled_from(["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", None]),
        balance=st.sampled_from(["source", "leastconn", "leastconns"]),
    )
    | st.builds(
        balanced,
        SERVICE_NAMES,
        st.lists(
            st.builds(
                ServicePort,
                st.sampled_from([7000, 7001, 22]),
                st.sampled_from(["", "pg", "metrics", "Odd"]),
                st.sampled_from(["TCP", "TCP", "UDP"]),
            ),
            max_size=3,
        ),
        st.sampled_from([SETTINGS.router_name, "another"]),
        st.sampled_from([None, ("10.0.0.0/8",), ("nonsense",)]),
    )
    | st.builds(
        asking,
        SERVICE_NAMES,
        st.sampled_from(["7000", "pg=7001 metrics=7000", "metrics=7000"]),
        st.just(ServicePort(port=5432, name="pg")),
        st.just(ServicePort(port=9187, name="metrics", protocol="TCP")),
        st.just(ServicePort(port=53, name="dns", protocol="UDP")),
    )
)
SLICES = st.builds(
    endpoint_slice,
    st.builds(
        endpoint, st.sampled_from(["10.1.0.1", "10.1.0.2", "127.0.0.1"]), st.sampled_from(["ready", "draining", "gone"])
    ),
    service=SERVICE_NAMES,
    name=st.sampled_from(["one", "two"]),
    ports=st.sampled_from([(EndpointPort(name="pg", port=each),) for each in (5432, 5433, 7000, 7001, 8443)]),
)
ROUTER_PODS = st.builds(
    lambda name, addresses: RouterPod(ObjectMeta(name=name, namespace=NAMESPACE), tuple(sorted(addresses))),
    st.sampled_from(["router-1", "router-2"]),
    st.sets(st.sampled_from(["10.1.0.1", "10.1.0.2", "10.1.0.3"]), max_size=2),
)
PORT_CLAIMS = st.one_of(
    st.builds(port_claim, st.sampled_from("pq"), st.sampled_from([7000, 7001]), st.builds(asker, NAMES)),
    st.builds(
        port_claim,
        st.sampled_from("pq"),
        st.sampled_from([0, 7000]),
        st.builds(asker, NAMES),
        host=st.sampled_from(["a.example.com", "b.example.com", "*.example.com"]),
    ),
    st.builds(
        port_claim,
        st.sampled_from("pq"),
        st.just(7000),
        st.sampled_from([None, ClaimHolder(namespace=NAMESPACE), ClaimHolder("", "Route", NAMESPACE, "a")]),
        origin=st.just("Reserved"),
        end=st.sampled_from([None, 7001]),
    ),
)
RESOLVED = st.builds(
    resolved,
    SERVICE_NAMES,
    st.sampled_from(["db.example.com", "web.example.com"]),
    st.sampled_from([(), ("192.0.2.1",), ("127.0.0.1", "192.0.2.1"), ("10.1.0.2", "2001:db8::1")]),
    st.sampled_from(["", "it cannot be resolved"]),
)
NOTES = st.builds(
    PortNote.about,
    st.sampled_from([7000, 7001, 8443]),
    st.sampled_from(["", "NotPublished: no"]),
    st.sampled_from([None, 30001]),
)
CREDENTIALS = st.builds(
    lambda made, authorities: Credential(
        certificate=made.pem if made else "", key_pem=made.key if made else "", authorities=authorities
    ),
    st.sampled_from([None, _MADE, _OTHER]),
    st.sampled_from(["", "nonsense", _MADE.pem, _OTHER.pem]),
)
SECRETS = st.builds(
    lambda name, made, lack: Credential(
        metadata=ObjectMeta(name=name, namespace=NAMESPACE), certificate=made.pem, key_pem=made.key, lack=lack
    ),
    st.sampled_from(["one", "two"]),
    st.sampled_from([_MADE, _OTHER]),
    st.sampled_from([Lack.NOTHING, Lack.NOTHING, *Lack]),
)
TOPICS = st.sampled_from(["x", "y"])
ASKER_NOTES = st.builds(
    AskerNote.about, st.builds(asker, NAMES), st.sampled_from(["NetworkPolicyMayBlock: a", "b"]), TOPICS
)
NAMESPACES = st.builds(
    lambda said: namespace(NAMESPACE, None, **said),
    st.fixed_dictionaries(
        {},
        optional={
            "tcp_ports": st.sampled_from(["7000", "none", "7000-7002", "x"]),
            "tcp_ports_exclusive": st.sampled_from(["7000", "7001"]),
            "tcp_ports_max": st.sampled_from(["0", "1", "2"]),
            "tcp_addresses": st.sampled_from(["inside", "nobodys,outside", "none", "A"]),
            "tcp_connections_max": st.sampled_from(["0", "9", "x"]),
        },
    ),
)
POLICIES = st.builds(
    PortPolicy,
    rules=st.sampled_from([(), (PolicyRule(selector="", exclusive=PortRanges.of(7001), max_ports=1),)]),
    counts_annotations=st.booleans(),
)
SERVER_CLAIMS = st.builds(
    lambda name, spec, annotations, finalizers, status, created: TransportServerClaim(
        ClaimMeta(name, NAMESPACE, "", "", 1, created, annotations or None, None, finalizers), spec, status
    ),
    NAMES,
    st.just("nonsense")
    | st.fixed_dictionaries(
        {"service": SERVICE_NAMES, "servicePort": st.sampled_from([5432, "pg", 1, None])},
        optional={
            "requestedPort": st.sampled_from([7001, 7002, 22]),
            "monitor": st.sampled_from([None, {"interval": 5}, 3]),
        },
    ),
    st.dictionaries(
        st.sampled_from([f"{PREFIX}external-address", f"{PREFIX}router-name", f"{PREFIX}balance"]),
        st.sampled_from(["inside", "outside", "nobodys", SETTINGS.router_name, "source"]),
        max_size=2,
    ),
    st.sampled_from([None, None, (FINALIZER,)]),
    st.sampled_from([None, {"port": "7002"}]),
    st.sampled_from(["2020-01-01T00:00:00Z", None]),
)
CLAIM_HOLDERS = st.builds(lambda name: ClaimHolder(GROUP, CLAIM_KIND, NAMESPACE, name), NAMES)
OF_CLAIMS = (
    st.builds(PairNote.about, st.builds(lambda name: ObjectKey(NAMESPACE, name), NAMES), st.just(""))
    | st.builds(port_claim, st.sampled_from("pq"), st.sampled_from([7001, 7002]), CLAIM_HOLDERS, origin=st.just("Reserved"))
    | st.builds(lambda labels: Namespace(ObjectMeta(NAMESPACE, "", labels=labels)), st.sampled_from([None, {"paired": "yes"}]))
)  # fmt: skip
ELSEWHERE = "elsewhere"
GRANTS = st.builds(
    lambda name, namespace, kind, to: ReferenceGrant(
        ObjectMeta(name, namespace),
        ReferenceGrantSpec((GrantFrom(cis.GROUP, kind, NAMESPACE),), (GrantTo("", "Service", to),)),
    ),
    st.sampled_from("gh"),
    st.sampled_from([ELSEWHERE, ELSEWHERE, "third"]),
    st.sampled_from([cis.KIND, cis.KIND, "VirtualServer"]),
    st.sampled_from([None, "x", "y"]),
)
OF_OTHERS = st.builds(
    lambda name, namespace: service(name, ServicePort(port=5432, name="pg"), namespace=namespace),
    SERVICE_NAMES,
    st.sampled_from([ELSEWHERE, "third"]),
) | st.builds(
    endpoint_slice,
    st.sampled_from(["10.1.0.1", "10.1.0.2"]),
    service=SERVICE_NAMES,
    namespace=st.just(ELSEWHERE),
    ports=st.just((EndpointPort(name="pg", port=5432),)),
)
WON = st.builds(port_claim, st.sampled_from("pq"), st.sampled_from([7001, 7002]), CLAIM_HOLDERS)
SERVERS = st.builds(
    lambda name, spec: TransportServer(ObjectMeta(name, NAMESPACE), spec),
    NAMES,
    st.fixed_dictionaries(
        {
            "virtualServerPort": st.sampled_from([7000, 7001, 22]),
            "ipamLabel": st.sampled_from(["inside", "outside", "x"]),
            "mode": st.just("standard"),
            "pool": st.fixed_dictionaries(
                {"service": SERVICE_NAMES, "servicePort": st.sampled_from([5432, "pg"])},
                optional={
                    "alternateBackends": st.sampled_from(
                        [[{"service": "x", "weight": 3}], [{"service": "y", "serviceNamespace": "third"}]]
                    ),
                    "serviceNamespace": st.sampled_from([ELSEWHERE, ELSEWHERE, "third"]),
                },
            ),
        },
        optional={
            "tls": st.just({"reference": "secret"}),
            "allowSourceRange": st.sampled_from([["10.0.0.0/8"], ["x"]]),
        },
    ),
)
Change = KubernetesObject | tuple[type[KubernetesObject], str]
DELETIONS = st.one_of(
    st.tuples(st.just(Route), NAMES),
    st.tuples(st.just(Service), SERVICE_NAMES),
    st.tuples(st.just(EndpointSlice), st.sampled_from(["one", "two"])),
    st.tuples(st.just(PortClaim), st.sampled_from("pq")),
    st.tuples(st.just(ResolvedName), SERVICE_NAMES),
    st.tuples(st.just(PortNote), st.sampled_from(["7000", "8443"])),
    st.tuples(st.just(AskerNote), st.builds(lambda name, topic: f"{name} {topic}", NAMES, TOPICS)),
    st.tuples(st.just(RouterPod), st.sampled_from(["router-1", "router-2"])),
    st.tuples(st.just(Credential), st.sampled_from([DEFAULTS.name, "one", "two"])),
    st.tuples(st.just(Namespace), st.just(NAMESPACE)),
    st.tuples(st.just(TransportServerClaim), NAMES),
    st.tuples(st.just(TransportServer), NAMES),
    st.tuples(st.just(ReferenceGrant), st.sampled_from("gh")),
    st.tuples(st.just(PairNote), NAMES),
)
# Several changes at a time, as the controller takes them.
BATCHES = st.lists(
    st.lists(
        ROUTES
        | ROUTES
        | SERVICES
        | ASKING
        | SLICES
        | ROUTER_PODS
        | PORT_CLAIMS
        | RESOLVED
        | NOTES
        | CREDENTIALS
        | SECRETS
        | ASKER_NOTES
        | NAMESPACES
        | POLICIES
        | SERVER_CLAIMS
        | OF_CLAIMS
        | SERVERS
        | GRANTS
        | OF_OTHERS
        | DELETIONS,
        min_size=1,
        max_size=4,
    ),
    max_size=12,
)


def apply(store: Store, changes: list[Change]) -> Changes:
    """Bring changes into the store, and take them."""
    for change in changes:
        if isinstance(change, tuple):
            kind, name = change
            where = {PortClaim: "openshift-ingress", PortNote: "", Namespace: "", ReferenceGrant: ELSEWHERE}.get(
                kind, NAMESPACE
            )
            where = "" if name == DEFAULTS.name else where
            store.delete(kind, ObjectKey(where, name))
        else:
            store.put(change)
    return store.take()[0]


def check_kept(before: Outcome, after: Outcome) -> None:
    """What is equal to what was before is the same object as before."""
    sections = {section.backend.name: section for section in before.model.routes}
    for section in after.model.routes:
        former = sections.get(section.backend.name)
        assert former is section or former != section
    for route_key, verdict in after.verdicts.items():
        former_verdict = before.verdicts.get(route_key)
        assert former_verdict is verdict or former_verdict != verdict
    shared = {frontend.port: frontend for frontend in before.model.shared}
    for frontend in after.model.shared:
        former_frontend = shared.get(frontend.port)
        assert former_frontend is frontend or former_frontend != frontend
    if before == after:
        assert after is before


@given(
    BATCHES,
    st.sampled_from(
        [
            SETTINGS,
            WILD,
            WILD,
            replace(WILD, disable_namespace_ownership_check=True),
            replace(WILD, sni_port=0),
            replace(SETTINGS, allow_loopback_endpoints=True),
            replace(SETTINGS, external_names=("*.example.com",)),
            replace(SETTINGS, external_names=("db.example.com",), external_names_private=True),
            AUTO,
            AUTO,
            replace(AUTO, auto_at_once=True),
            replace(AUTO, auto_at_once=True),
            CLAIMS,
            replace(CLAIMS, auto_at_once=True),
            replace(CLAIMS, pair_selector="paired=yes"),
            replace(SETTINGS, own_addresses=frozenset({"10.1.0.2"}), own_ports=frozenset({5433})),
        ]
    ),
)
@settings(max_examples=300)
def test_after_any_changes_it_is_what_a_full_rebuild_gives(
    batches: list[list[Change]], given_settings: AdmissionSettings
) -> None:
    """The rebuild defines what is right; whatever comes in whatever order, the incremental outcome is equal to it."""
    follow(batches, given_settings)


ANY_PORT = st.builds(
    route,
    st.sampled_from("ab"),
    st.just("auto"),
    to=st.just("x"),
    balance=st.sampled_from(["source", "leastconn", "nonsense"]),
)


@given(
    st.lists(
        st.lists(ANY_PORT | SERVER_CLAIMS | OF_CLAIMS | WON, min_size=1, max_size=3),
        min_size=2,
        max_size=8,
    ),
    st.sampled_from([CLAIMS, replace(CLAIMS, auto_at_once=True), replace(CLAIMS, pair_selector="paired=yes")]),
)
@settings(max_examples=200)
def test_who_was_given_a_port_keeps_it_as_a_rebuild_would(
    batches: list[list[Change]], given_settings: AdmissionSettings
) -> None:
    """The same of those who ask for any port alone, so that each of them changes often."""
    follow(batches, given_settings)


@given(
    st.lists(
        st.lists(
            SERVERS
            | GRANTS
            | GRANTS
            | OF_OTHERS
            | ROUTES
            | st.tuples(st.just(ReferenceGrant), st.sampled_from("gh"))
            | st.tuples(st.just(TransportServer), NAMES),
            min_size=1,
            max_size=3,
        ),
        min_size=2,
        max_size=10,
    ),
    st.sampled_from([CLAIMS, CLAIMS, replace(CLAIMS, transport_server_cross_namespace=True)]),
)
@settings(max_examples=200)
def test_who_leads_to_other_namespaces_is_let_as_a_rebuild_would(
    batches: list[list[Change]], given_settings: AdmissionSettings
) -> None:
    """Grants that come, change and go, in whatever order with TransportServers and what these lead to."""
    follow(batches, given_settings)


QUOTAS = st.builds(lambda most: namespace(NAMESPACE, None, tcp_ports_max=most), st.sampled_from(["1", "1", "2"]))
OF_QUOTAS = (
    st.builds(route, NAMES, st.sampled_from(["auto", "auto", 7000, 7001]), to=st.just("x"))
    | st.builds(port_claim, st.sampled_from("pq"), st.sampled_from([7000, 7001, 7002]), st.builds(asker, NAMES))
    | QUOTAS
    | st.one_of(
        st.tuples(st.just(Route), NAMES),
        st.tuples(st.just(PortClaim), st.sampled_from("pq")),
        st.tuples(st.just(Namespace), st.just(NAMESPACE)),
    ).map(lambda gone: gone)  # so that it is one choice among the others, and not three
)


@given(
    st.lists(st.lists(OF_QUOTAS, min_size=1, max_size=2), min_size=4, max_size=10),
    st.sampled_from([AUTO, replace(AUTO, auto_at_once=True)]),
    st.sampled_from([False, False, True]),
)
@settings(max_examples=300)
def test_what_a_namespace_may_hold_is_counted_as_a_rebuild_would(
    batches: list[list[Change]],
    given_settings: AdmissionSettings,
    enforces: bool,  # noqa: FBT001 - drawn
) -> None:
    """Numbers that change, claims that are written late or deleted, and ports of one's own number that become any."""
    there: list[Change] = [service("x"), endpoint_slice("10.1.0.1", service="x")]
    follow([there, *batches], replace(given_settings, enforces_policy_on_holders=enforces))


def follow(batches: list[list[Change]], given_settings: AdmissionSettings) -> None:
    """Decide after each batch, and compare."""
    store = Store()
    admission = Admission(given_settings)
    before = admission.update(store.objects, store.objects.everything())
    for batch in batches:
        after = admission.update(store.objects, apply(store, batch))
        full = Admission(given_settings, admission.memory()).update(store.objects, store.objects.everything())
        assert after == full
        assert list(after.verdicts) == sorted(after.verdicts)
        assert [section.asker for section in after.model.routes] == sorted(
            section.asker for section in after.model.routes
        )
        check_kept(before, after)
        # More than what changed may be named, and then nothing is made anew.
        assert admission.update(store.objects, store.objects.everything()) is after
        before = after


def many(count: int) -> tuple[Store, Admission, Outcome]:
    """Admit so many Routes with a Service and three endpoints each."""
    store = Store()
    for number in range(count):
        name = f"r{number}"
        store.put(
            route(name, 10_000 + number, to=name),
            service(name),
            endpoint_slice(*(f"10.{host}.{number // 250}.{number % 250}" for host in (1, 2, 3)), service=name),
        )
    store.take()
    admission = Admission(SETTINGS)
    return store, admission, admission.update(store.objects, store.objects.everything())


def test_one_change_among_many_routes_touches_one() -> None:
    """An endpoint moves: one section is new, all others are the objects that they were, and so are all verdicts."""
    store, admission, before = many(200)
    changes = apply(store, [endpoint_slice("10.9.0.1", service="r7")])
    after = admission.update(store.objects, changes)
    changed = [new.route for old, new in zip(before.model.routes, after.model.routes, strict=True) if old is not new]
    assert changed == ["r7"]
    assert after.verdicts is before.verdicts
    assert after.model.shared is before.model.shared


def test_servers_that_stay_are_the_same_objects() -> None:
    """One endpoint of many becomes another: whoever compares the servers need not look into those that stayed."""
    store, admission = Store(), Admission(SETTINGS)
    names = [f"10.0.{number}.1" for number in range(40)]
    store.put(route(), service(), endpoint_slice(*names))
    (before,) = admission.update(store.objects, store.take()[0]).model.routes
    store.put(endpoint_slice("10.9.0.1", *names[1:]))
    (after,) = admission.update(store.objects, store.take()[0]).model.routes
    former = {server.name: server for server in before.backend.servers}
    stayed = [server for server in after.backend.servers if server.name in former]
    assert (len(after.backend.servers), len(stayed)) == (40, 39)
    assert all(server is former[server.name] for server in stayed)


def test_the_outcome_of_before_is_not_edited() -> None:
    """What was published stays as it was: others may still read it."""
    store, admission, before = many(3)
    routes, verdicts = list(before.model.routes), dict(before.verdicts)
    admission.update(store.objects, apply(store, [(Route, "r1"), endpoint_slice("10.9.0.1", service="r2")]))
    assert (list(before.model.routes), dict(before.verdicts)) == (routes, verdicts)


def test_a_status_that_was_written_changes_nothing() -> None:
    """The router's own writes come back as changes of all Routes; the outcome stays the object that it was."""
    store, admission, _ = many(2)
    held = route("r1", 10_001, to="r1", status=holding(10_001))
    held_again = route("r1", 10_001, to="r1", status=holding(10_001, host="noted.example.com"))
    before = admission.update(store.objects, apply(store, [held]))
    assert admission.update(store.objects, apply(store, [held_again])) is before


def test_a_change_costs_the_same_among_many_routes() -> None:
    """At 2,000 Routes an endpoint that moves is decided in far less than a full rebuild takes."""
    store, admission, _ = many(2000)
    took_s = []
    for number in range(20):
        changes = apply(store, [endpoint_slice(f"10.9.0.{number}", service=f"r{number}")])
        started_s = time.perf_counter()
        admission.update(store.objects, changes)
        took_s.append(time.perf_counter() - started_s)
    assert sorted(took_s)[len(took_s) // 2] < 0.005


def test_a_foreign_route_that_becomes_ours_and_leaves_again() -> None:
    """The annotation decides at every change, and what left leaves nothing behind."""
    store = Store()
    admission = Admission(SETTINGS)
    foreign = route("a", 7000, to="x", annotations={f"{PREFIX}router-name": "other"})
    empty = admission.update(store.objects, apply(store, [foreign, service("x")]))
    assert not empty.verdicts
    ours = admission.update(store.objects, apply(store, [route("a", 7000, to="x")]))
    assert ours.verdicts[asker("a")].admitted
    assert admission.update(store.objects, apply(store, [foreign])) == empty
