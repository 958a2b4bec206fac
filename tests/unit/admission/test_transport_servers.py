"""TransportServers: what is served of their spec, what is refused and what has no effect, each told by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission import Reason, Verdict
from router.admission.options import PREFIX
from router.admission.references import References
from router.admission.request import Request
from router.admission.transport_server import is_ours, read_server, services_of
from router.admission.verdicts import Lack
from router.model import Asker
from router.objects.cis import GROUP, KIND, TransportServer
from router.objects.core import ServicePort
from router.objects.discovery import EndpointPort
from router.objects.gateway import GrantFrom, GrantTo, ReferenceGrant, ReferenceGrantSpec
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.settings import AdmissionSettings, NamedAddress
from tests.unit.admission.builders import NAMESPACE, SETTINGS, asker, endpoint_slice, route, service
from tests.unit.admission.test_autos import Router

ADDRESSES = {
    "pg": NamedAddress(ips=("192.0.2.10",), overlaps=False),
    "mq": NamedAddress(ips=("192.0.2.11", "2001:db8::11"), overlaps=False),
}
SERVING = replace(
    SETTINGS,
    transport_servers=True,
    addresses=ADDRESSES,
    default_addresses=frozenset(ADDRESSES),
    own_addresses=frozenset(),
)
POOL = {"service": "db", "servicePort": 5432}


def server(name: str = "ts", spec: Any = None, *, pool: Any = None, labels: Any = None, **more: Any) -> TransportServer:
    """Make a TransportServer; ``more`` are fields of its spec, None takes one away, and annotations without a colon."""
    annotations = {PREFIX + key: value for key, value in more.pop("said", {}).items()}
    said = {"virtualServerPort": 36_001, "ipamLabel": "pg", "mode": "standard", "pool": POOL if pool is None else pool}
    said = {key: value for key, value in {**said, **more}.items() if value is not None}
    meta = ObjectMeta(
        name, NAMESPACE, creation_timestamp="2024-01-01T00:00:00Z", annotations=annotations or None, labels=labels
    )
    return TransportServer(meta, said if spec is None else spec)


def who(name: str = "ts") -> Asker:
    """Give one as an asker."""
    return Asker(GROUP, KIND, NAMESPACE, name)


def verdict_of(made: TransportServer, settings: AdmissionSettings = SERVING) -> Verdict:
    """Give what becomes of one, beside the Service of these tests."""
    return Router(made, settings=settings).outcome.verdicts[who()]


def request_of(made: TransportServer, settings: AdmissionSettings = SERVING) -> Request:
    """Give what one asks for."""
    (asked,) = read_server(made, settings)
    assert isinstance(asked, Request), asked.message
    return asked


def test_one_is_served_on_its_port_and_address() -> None:
    """Both modes; in one queue with Routes."""
    for mode in ("standard", "performance"):
        router = Router(server(mode=mode), settings=SERVING)
        verdict = router.outcome.verdicts[who()]
        assert (verdict.admitted, verdict.port, verdict.address, verdict.warnings) == (True, 36_001, "pg", ())
        (section,) = router.outcome.model.routes
        assert section.backend.name == f"be_tcp:{NAMESPACE}:transportserver_ts"
        assert [each.port for each in section.backend.servers] == [5432]
    held = Router(route("db", 36_001, external_address="pg"), settings=SERVING)
    held.write()
    held.put(server())
    assert held.outcome.verdicts[who()].reason is Reason.PORT_ALREADY_CLAIMED


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ({"ipamLabel": "mq"}, "mq"),
        ({"ipamLabel": None, "virtualServerAddress": "192.0.2.11"}, "mq"),
        ({"ipamLabel": None, "virtualServerAddress": "2001:DB8::0:11"}, "mq"),
        ({"ipamLabel": "mq", "virtualServerAddress": "192.0.2.11"}, "mq"),
        ({"ipamLabel": "f5-label", "virtualServerAddress": "192.0.2.11"}, "mq"),
        ({"ipamLabel": None, "virtualServerAddress": "192.0.2.1"}, ""),
        ({"ipamLabel": "ours"}, ""),
    ],
    ids=str,
)
def test_an_address_is_a_name_or_an_ip(said: dict[str, Any], address: str) -> None:
    """The label may also be that of the class; an IP is that of a named address, or the only one that the router is bound to."""
    settings = replace(SERVING, own_addresses=frozenset({"192.0.2.1"}), transport_server_class="ours")
    assert request_of(server(**said), settings).address == address


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"ipamLabel": None}, "spec.ipamLabel or spec.virtualServerAddress has to say on which address"),
        ({"ipamLabel": "x"}, "spec.ipamLabel is 'x', which is no address of this router; it has pg (192.0.2.10), mq"),
        ({"ipamLabel": ["x"]}, "spec.ipamLabel is a list"),
        ({"virtualServerAddress": "203.0.113.9", "ipamLabel": None}, "spec.virtualServerAddress is '203.0.113.9', which is no address"),
        ({"virtualServerAddress": ["x"], "ipamLabel": None}, "spec.virtualServerAddress is a list"),
        ({"virtualServerAddress": "192.0.2.11"}, "spec.ipamLabel is 'pg', and spec.virtualServerAddress is another address"),
        ({"virtualServerPort": 0}, "spec.virtualServerPort is 0; accepted is a whole number from 1 to 65535"),
        ({"virtualServerPort": "36001"}, "spec.virtualServerPort is '36001'"),
        ({"type": "udp"}, "spec.type is 'udp'; only tcp can be served"),
        ({"mode": None}, "spec.mode is null; accepted is standard or performance"),
        ({"mode": []}, "spec.mode is a list"),
        ({"allowVlans": ["/Common/vlan"]}, "spec.allowVlans may keep somebody out"),
        ({"dos": "/Common/dos"}, "spec.dos may keep somebody out"),
        ({"tls": {"clientSSLs": ["/Common/x"]}}, "spec.tls may keep somebody out"),
        ({"policyName": "p"}, "spec.policyName may keep somebody out"),
        ({"iRules": ["/Common/r"]}, "spec.iRules may keep somebody out"),
        ({"botDefense": "/Common/b"}, "spec.botDefense may keep somebody out"),
        ({"pool": []}, "spec.pool is a list, and must be a mapping"),
        ({"pool": {}}, "spec.pool.service is missing"),
        ({"pool": {**POOL, "servicePort": None}}, "spec.pool.servicePort is missing"),
        ({"pool": {**POOL, "weight": 101}}, "spec.pool.weight is 101; accepted is a whole number from 0 to 100"),
        ({"pool": {**POOL, "alternateBackends": [{"service": "x y"}]}}, "spec.pool.alternateBackends[0].service is 'x y'"),
        ({"pool": {**POOL, "alternateBackends": [3]}}, "spec.pool.alternateBackends[0] is 3, and must be a mapping"),
        ({"pool": {**POOL, "alternateBackends": [{"service": "a"}] * 17}}, "spec.pool.alternateBackends has 17 entries"),
        ({"pool": {**POOL, "monitor": {"type": "tcp", "interval": 0}}}, "spec.pool.monitor.interval is 0"),
        ({"pool": {**POOL, "monitors": {}}}, "spec.pool.monitors is a mapping, and must be a list"),
        ({"allowSourceRange": "10.0.0.0/8"}, "spec.allowSourceRange is '10.0.0.0/8', and must be a list"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_had_is_told_by_its_field(said: dict[str, Any], message: str) -> None:
    """Alone, and whatever else is right."""
    verdict = verdict_of(server(**said))
    assert verdict.reason is Reason.INVALID_SPEC
    assert verdict.message.startswith(message)


def test_source_ranges_are_the_allowlist_and_fail_closed() -> None:
    """One entry that is none closes all; an annotation beside them is a contradiction."""
    assert request_of(server(allowSourceRange=["10.1.2.3/8", " 192.0.2.1"])).options.backend.allowlist == (
        "10.0.0.0/8",
        "192.0.2.1",
    )
    for wrong in (["10.0.0.0/8", "x"], ["10.0.0.0/8", 7]):
        assert verdict_of(server(allowSourceRange=wrong)).reason is Reason.INVALID_SOURCE_RANGES
    both = server(allowSourceRange=["10.0.0.0/8"], said={"ip_allowlist": "10.0.0.0/8"})
    assert verdict_of(both).reason is Reason.INVALID_SOURCE_RANGES
    assert request_of(server(said={"ip_allowlist": "10.0.0.0/8"})).options.backend.allowlist == ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("said", "method", "balance"),
    [
        ({}, None, "leastconn"),
        ({}, "round-robin", "roundrobin"),
        ({}, "ratio-member", "roundrobin"),
        ({}, "least-connections-member", "leastconn"),
        ({"persistenceProfile": "source-address"}, "round-robin", "source"),
        ({"persistenceProfile": "/Common/source_addr"}, None, "source"),
        ({"persistenceProfile": "source-address", "said": {"balance": "first"}}, None, "first"),
    ],
    ids=str,
)
def test_how_connections_find_their_pod(said: dict[str, Any], method: str | None, balance: str) -> None:
    """Persistence goes before the method, and an annotation before both."""
    pool = POOL if method is None else {**POOL, "loadBalancingMethod": method}
    assert request_of(server(pool=pool, **said)).options.backend.balance == balance


@pytest.mark.parametrize(
    ("pool", "interval_ms", "fall"),
    [
        ({}, 5_000, None),
        ({"monitor": {"type": "tcp"}}, 5_000, 4),
        ({"monitor": {"type": "tcp", "interval": 10, "timeout": 10}}, 10_000, 1),
        (
            {"monitors": [{"type": "http"}, {"type": "tcp", "interval": 2, "timeout": 7}], "monitor": {"type": "tcp"}},
            2_000,
            4,
        ),
        ({"monitor": {"type": "http", "interval": 1, "timeout": 1}}, 5_000, None),
    ],
    ids=str,
)
def test_monitors_are_checks(pool: dict[str, Any], interval_ms: int, fall: int | None) -> None:
    """The first that checks by TCP; ``monitors`` go before ``monitor``, and F5's defaults hold."""
    backend = request_of(server(pool={**POOL, **pool})).options.backend
    assert (backend.check_interval_ms, backend.check_fall) == (interval_ms, fall)


def test_weights_are_shares() -> None:
    """Of a Service that is named twice both; without any all have the same."""
    alternates = [{"service": "b", "weight": 30}, {"service": "db", "weight": 5}, {"service": "c"}]
    targets = request_of(server(pool={**POOL, "weight": 70, "alternateBackends": alternates})).targets
    assert {each.service.name: each.weight for each in targets} == {"db": 75, "b": 30, "c": 100}


def test_what_has_no_effect_is_told_by_name() -> None:
    """In one sentence for what only a BIG-IP has; host, persistence and methods have their own."""
    pool = {
        **POOL, "nodeMemberLabel": "a=b", "reselectTries": 3, "loadBalancingMethod": "fastest-node",
        "monitors": [{"type": "tcp", "send": "x"}, {"type": "tcp"}], "monitor": {"type": "tcp"},
    }  # fmt: skip
    made = server(
        host="db.example.com",
        snat="auto",
        profiles={"tcp": {}},
        persistenceProfile="cookie",
        pool=pool,
        said={"external-tcp-port": "1"},
    )
    warnings = verdict_of(made).warnings
    assert [each.partition(" ")[0] for each in warnings[:3]] == [
        "spec.host",
        "spec.persistenceProfile",
        "spec.pool.loadBalancingMethod",
    ]
    assert warnings[3] == (
        "without a BIG-IP there is no effect of spec.profiles, spec.snat, spec.pool.nodeMemberLabel, spec.pool.reselectTries, "
        f"'spec.pool.monitors[1]', 'spec.pool.monitors[0].send', spec.pool.monitor, 'annotation {PREFIX}external-tcp-port'"
    )
    other = verdict_of(server(pool={**POOL, "monitor": {"type": "https"}})).warnings
    assert other == (
        "spec.pool.monitor checks otherwise than by TCP connections, which is all that this router does: pods are checked so, as often as it does by itself",
    )


@pytest.mark.parametrize(
    ("of", "said", "is_served"),
    [
        ("", {}, True),
        ("", {"labels": {"f5cr": "true"}}, True),
        ("ours", {}, False),
        ("ours", {"labels": {"f5cr": "true"}}, False),
        ("ours", {"labels": {"f5cr": "ours"}}, True),
        ("ours", {"ipamLabel": "ours"}, True),
        ("ours", {"ipamLabel": ["ours"]}, False),
        ("ours", {"said": {"router-name": "tcp-router"}}, True),
        ("", {"said": {"router-name": "other"}}, False),
    ],
    ids=str,
)
def test_a_class_leaves_the_others_to_f5(of: str, said: dict[str, Any], is_served: bool) -> None:  # noqa: FBT001 - a table
    """By label or ipamLabel; an annotation that names a router goes before."""
    assert is_ours(server(**said), replace(SERVING, transport_server_class=of)) is is_served
    assert not is_ours(server(**said), replace(SERVING, transport_servers=False))


def test_another_namespace_is_led_to_where_the_admin_lets() -> None:
    """And nowhere else."""
    pool = {**POOL, "serviceNamespace": "other"}
    allowed = replace(SERVING, transport_server_cross_namespace=True)
    router = Router(server(pool=pool), settings=allowed)
    assert router.outcome.verdicts[who()].lack is Lack.SERVICE
    router.put(
        service("db", ServicePort(port=5432, name="pg"), namespace="other"),
        endpoint_slice("10.9.0.1", namespace="other", ports=(EndpointPort(name="pg", port=5432),)),
    )
    (section,) = router.outcome.model.routes
    assert [each.address for each in section.backend.servers] == ["10.9.0.1"]
    assert services_of(server(pool=pool)) == {ObjectKey("other", "db")}


def grant(
    *,
    of: tuple[str, str, str] = (GROUP, KIND, NAMESPACE),
    to: tuple[str, str, str | None] = ("", "Service", None),
    namespace: str = "other",
) -> ReferenceGrant:
    """Make a ReferenceGrant from group, kind and namespace to group, kind and name."""
    return ReferenceGrant(ObjectMeta("grant", namespace), ReferenceGrantSpec((GrantFrom(*of),), (GrantTo(*to),)))


def there(name: str = "db", address: str = "10.9.0.1", namespace: str = "other") -> tuple[KubernetesObject, ...]:
    """Make a Service of another namespace, with an endpoint."""
    ports = (EndpointPort(name="pg", port=5432),)
    return (
        service(name, ServicePort(port=5432, name="pg"), namespace=namespace),
        endpoint_slice(address, namespace=namespace, service=name, name=f"{name}-1", ports=ports),
    )


ELSEWHERE = {**POOL, "serviceNamespace": "other"}


@pytest.mark.parametrize(
    ("made", "is_let"),
    [
        (grant(), True),
        (grant(to=("", "Service", "db")), True),
        (grant(to=("", "Service", "")), True),
        (grant(to=("", "Service", "another")), False),
        (grant(to=("", "Secret", None)), False),
        (grant(of=(GROUP, KIND, "third")), False),
        (grant(of=(GROUP, "VirtualServer", NAMESPACE)), False),
        (grant(of=("gateway.networking.k8s.io", "TCPRoute", NAMESPACE)), False),
        (grant(namespace="third"), False),
        (grant(namespace=NAMESPACE), False),
    ],
    ids=str,
)
def test_a_grant_has_to_say_from_where_and_to_what(made: ReferenceGrant, is_let: bool) -> None:  # noqa: FBT001 - a table
    """Each that is wrong in one thing is none, and what is missing is told; a right one is taken back with its end."""
    router = Router(*there(), server(pool=ELSEWHERE), settings=SERVING)
    refused = router.outcome.verdicts[who()]
    assert (refused.reason, refused.port, refused.address) == (Reason.REF_NOT_PERMITTED, 36_001, "pg")
    assert refused.message == (
        "spec.pool leads to Service other/db, in another namespace than its own, and no ReferenceGrant in namespace other lets it: "
        f"one from group cis.f5.com, kind TransportServer, namespace {NAMESPACE} to kind Service does"
    )
    router.put(made)
    assert router.outcome.verdicts[who()].admitted is is_let
    assert [each.address for section in router.outcome.model.routes for each in section.backend.servers] == (
        ["10.9.0.1"] if is_let else []
    )
    router.store.delete(ReferenceGrant, made.key)
    assert router.take().verdicts[who()] == refused
    assert not router.outcome.model.routes


def test_each_service_of_another_namespace_needs_a_grant() -> None:
    """One that is not let closes all, for shares would be others than were said; whether it is there is not told."""
    alternates = [{"service": "b", "serviceNamespace": "other"}, {"service": "c", "serviceNamespace": "third"}]
    router = Router(*there(), server(pool={**ELSEWHERE, "alternateBackends": alternates}), settings=SERVING)
    for made, missing in (((), "other/db"), ((grant(to=("", "Service", "db")),), "other/b"), ((grant(),), "third/c")):
        router.put(*made)
        assert router.outcome.verdicts[who()].message.startswith(f"spec.pool leads to Service {missing}, in another")
    router.put(grant(namespace="third"))
    assert router.outcome.verdicts[who()].admitted


def test_a_grant_concerns_those_alone_who_lead_to_its_namespace() -> None:
    """All others are the objects that they were, and are not read again; who leads there no more is none of them."""
    apart = [server(f"t{number}", virtualServerPort=36_100 + number) for number in range(20)]
    router = Router(*there(), *apart, server(pool=ELSEWHERE), settings=SERVING)
    before = router.outcome
    concerned = References()
    for made in (*apart, server(pool=ELSEWHERE)):
        concerned.put((TransportServer, made.key), None, made)
    router.store.put(grant())
    changes, _ = router.store.take()
    assert concerned.to(router.store.objects, changes) == {(TransportServer, server().key)}
    after = router.admission.update(router.store.objects, changes)
    assert [name for name, verdict in after.verdicts.items() if before.verdicts[name] is not verdict] == [who()]
    concerned.put((TransportServer, server().key), server(pool=ELSEWHERE), server())
    assert concerned.to(router.store.objects, changes) == frozenset()


def test_who_is_let_takes_the_port_as_any_other_does() -> None:
    """While it was refused somebody else took it, where nothing remembers whose it was."""
    router = Router(*there(), server(pool=ELSEWHERE), grant(), settings=SERVING)
    router.store.delete(ReferenceGrant, grant().key)
    router.take()
    router.put(route("db", 36_001, external_address="pg"))
    assert router.outcome.verdicts[asker("db")].admitted
    router.put(grant())
    assert router.outcome.verdicts[who()].reason is Reason.PORT_ALREADY_CLAIMED


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "virtualServerPort", "ipamLabel", "mode", "virtualServerAddress", "type", "allowSourceRange", "persistenceProfile", "host", "tls", "snat",
)  # fmt: skip
POOL_FIELDS = (
    "service", "serviceNamespace", "servicePort", "loadBalancingMethod", "monitor", "monitors", "weight", "alternateBackends",
)  # fmt: skip


def specs() -> st.SearchStrategy[Any]:
    """Give anything that may stand in a spec, and specs that are nearly right."""
    right = {"virtualServerPort": st.just(36_001), "ipamLabel": st.just("pg"), "mode": st.just("standard")}
    pools = st.fixed_dictionaries({}, optional=dict.fromkeys(POOL_FIELDS, ANYTHING))
    pools |= st.fixed_dictionaries(
        {"service": st.just("db"), "servicePort": st.just(5432)}, optional=dict.fromkeys(POOL_FIELDS[3:], ANYTHING)
    )
    loose = st.fixed_dictionaries({"pool": pools}, optional=dict.fromkeys(FIELDS, ANYTHING))
    return (
        ANYTHING | loose | st.fixed_dictionaries({**right, "pool": pools}, optional=dict.fromkeys(FIELDS[3:], ANYTHING))
    )


@given(specs())
def test_nothing_that_one_can_say_raises(spec: Any) -> None:
    """It is read, or refused in words of one line."""
    made = server(spec=spec if spec is not None else 0)
    (asked,) = read_server(made, SERVING)
    assert asked.asker == who()
    is_ours(made, replace(SERVING, transport_server_class="x"))
    services_of(made)
    for text in asked.warnings if isinstance(asked, Request) else (asked.message,):
        assert text.isprintable()
