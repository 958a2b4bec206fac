"""Whatever objects say, HAProxy takes the configuration, nothing is added to it, and other Routes are as they were.

Objects are built as structs: an API server, or a reader of manifests, would refuse some of them, but nothing here relies on it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, event, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import structs

from router.admission import Admission, Outcome, Reason
from router.admission.options import (
    ACCEPT_PROXY,
    BALANCE,
    CHECK_INTERVAL,
    CLIENT_CA,
    CLIENT_CERTIFICATE,
    CLIENT_CRL,
    DESTINATION_SERVER_NAME,
    EXTERNAL_ADDRESS,
    EXTERNAL_TCP_PORT,
    EXTERNAL_TCP_PORT_SNI,
    HASH_BALANCE_FACTOR,
    IP_ALLOWLIST,
    IP_WHITELIST,
    MAX_CONNECTIONS,
    ON_MARKED_DOWN,
    ON_REMOVED,
    POD_CONCURRENT_CONNECTIONS,
    RATE_LIMIT,
    RATE_LIMIT_CONCURRENT,
    RATE_LIMIT_RATE,
    ROUTER_NAME,
    SEND_PROXY,
    STARTTLS,
    TCP_KEEPALIVE,
    TIMEOUT,
    TIMEOUT_CLIENT,
    TIMEOUT_CONNECT,
    TIMEOUT_SERVER,
    TIMEOUT_TUNNEL,
    TLS_ALPN,
    TLS_MIN_VERSION,
    WZH_ROUTER_NAME,
)
from router.haproxy.process.binary import HaproxyBinary, find_binary
from router.haproxy.process.check import check_config
from router.model import Asker
from router.objects.core import Service, ServicePort, ServiceSpec
from router.objects.discovery import Endpoint, EndpointPort, EndpointSlice, TargetRef
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectMeta
from router.objects.route import Route, RoutePort, RouteSpec, RouteTarget, RouteTLS
from router.objects.store import Store
from router.render import Rendered, Renderer, TemplateSet
from router.settings import AdmissionSettings, RenderSettings
from tests.support.config_grammar import sections, strangers
from tests.support.haproxy import write
from tests.support.hostile import KEYS, NASTY, ROUTES, SERVICES, SLICES, around

INNOCENT = Asker.route("quiet", "bystander")
INNOCENT_OBJECTS: tuple[KubernetesObject, ...] = (
    Route(
        metadata=ObjectMeta(
            name="bystander",
            namespace="quiet",
            creation_timestamp="2020-01-01T00:00:00Z",
            annotations={ROUTER_NAME: "tcp-router", EXTERNAL_TCP_PORT: "31000", IP_ALLOWLIST: "192.0.2.0/24"},
        ),
        spec=RouteSpec(
            to=RouteTarget(name="quiet"), host="quiet.example.org", tls=RouteTLS(termination="passthrough")
        ),
    ),
    Service(metadata=ObjectMeta(name="quiet", namespace="quiet"), spec=ServiceSpec(ports=(ServicePort(port=443),))),
    EndpointSlice(
        metadata=ObjectMeta(
            name="quiet-1", namespace="quiet", labels={"kubernetes.io/service-name": "quiet"}
        ),
        endpoints=(Endpoint(addresses=("10.7.0.1",)),),
        ports=(EndpointPort(port=443),),
    ),
)  # fmt: skip

# The same examples in every run of CI: what fails there must fail again for whoever looks into it.
against_haproxy = hypothesis_settings(
    deadline=None,
    max_examples=300,
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _beside(rendered: Rendered) -> tuple[KubernetesObject, ...]:
    """Give objects that have HAProxy hand to its next worker what it counted of clients, as it does where a Route limits them; else none."""
    if b"\npeers tcp_router\n" not in rendered.config:
        return ()
    bystander, *others = INNOCENT_OBJECTS
    assert isinstance(bystander, Route)
    limits = {ROUTER_NAME: "tcp-router", EXTERNAL_TCP_PORT: "31000", RATE_LIMIT: "true", RATE_LIMIT_RATE: "9"}
    return (
        msgspec.structs.replace(bystander, metadata=msgspec.structs.replace(bystander.metadata, annotations=limits)),
        *others,
    )


@dataclass(frozen=True, slots=True)
class Bench:
    """Renders objects and lets HAProxy judge."""

    binary: HaproxyBinary
    settings: RenderSettings

    def outcome(self, *objects: KubernetesObject) -> Outcome:
        """Decide by a full rebuild."""
        store = Store()
        store.put(*objects)
        store.take()
        return Admission(AdmissionSettings(allow_wildcard_routes=True)).update(
            store.objects, store.objects.everything()
        )

    def render(self, outcome: Outcome) -> Rendered:
        """Render with the packaged templates."""
        return Renderer(TEMPLATES, self.settings).render(outcome.model)

    def judge(self, *objects: KubernetesObject) -> Outcome:
        """Look at everything that hostile objects must not bring about; give the outcome for further looks."""
        outcome = self.outcome(*objects, *INNOCENT_OBJECTS)
        rendered = self.render(outcome)
        assert rendered.failures == ()
        check = check_config(self.binary, write(rendered, self.settings), 60)
        assert check.accepted, check.log
        assert [told.message for told in check.diagnostics] == []

        assert strangers(rendered, self.settings, self.render(self.outcome(*_beside(rendered)))) == []
        lines = sections(rendered, self.settings)
        served = {key for key, verdict in outcome.verdicts.items() if verdict.admitted}
        assert {owner for owner in lines if isinstance(owner, Asker)} == served

        alone = self.outcome(*INNOCENT_OBJECTS)
        assert outcome.verdicts[INNOCENT] == alone.verdicts[INNOCENT]
        assert lines[INNOCENT] == sections(self.render(alone), self.settings)[INNOCENT]
        maps = b"".join(content for name, content in rendered.files.items() if name.startswith("sni-"))
        assert b"\nquiet.example.org be_tcp:quiet:bystander\n" in maps
        return outcome


TEMPLATES = TemplateSet.load()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A place to write configurations, with a plain path."""
    with tempfile.TemporaryDirectory() as directory:
        yield Bench(find_binary(None), RenderSettings(state_dir=Path(directory)))


def victim(number: int = 0, annotations: dict[str, str] | None = None, **changes: object) -> Route:
    """Make an otherwise good Route ``team/r<number>`` on a port of its own, with a host on the SNI port."""
    own = {ROUTER_NAME: "tcp-router", EXTERNAL_TCP_PORT: str(10_000 + number)}
    spec = RouteSpec(
        to=RouteTarget(name="db"),
        host=f"r{number}.example.com",
        port=RoutePort(target_port=5432),
        tls=RouteTLS(termination="passthrough"),
    )
    return Route(
        metadata=ObjectMeta(
            name=f"r{number}",
            namespace="team",
            creation_timestamp="2024-01-01T00:00:00Z",
            annotations={**own, **(annotations or {})},
        ),
        spec=msgspec.structs.replace(spec, **changes),
    )


DB: tuple[KubernetesObject, ...] = (
    Service(
        metadata=ObjectMeta(name="db", namespace="team"),
        spec=ServiceSpec(ports=(ServicePort(port=5432, name="pg", target_port=5432),)),
    ),
    EndpointSlice(
        metadata=ObjectMeta(name="db-1", namespace="team", labels={"kubernetes.io/service-name": "db"}),
        endpoints=(Endpoint(addresses=("10.1.0.1",), target_ref=TargetRef(kind="Pod", name="db-0")),),
        ports=(EndpointPort(name="pg", port=5432, protocol="TCP"),),
    ),
)
DECIDING = [key for key in KEYS if key not in (ROUTER_NAME, WZH_ROUTER_NAME)]


def test_grammar_tells_what_is_added(bench: Bench) -> None:
    """The test of the tests: a directive that a name smuggles in is seen, and so is an odd byte."""
    outcome = bench.outcome(victim(), *DB)
    (section,) = outcome.model.routes
    (server,) = section.backend.servers
    for name in ("x 192.0.2.1:1\n  server evil", "x\x0b", "caf\u00e9", "a'b"):
        backend = replace(section.backend, servers=(structs.replace(server, name=name),))
        crooked = replace(outcome.model, routes=(replace(section, backend=backend),))
        rendered = Renderer(TEMPLATES, bench.settings).render(crooked)
        assert strangers(rendered, bench.settings, bench.render(bench.outcome()))


def test_every_nasty_value_of_every_annotation_at_once(bench: Bench) -> None:
    """A Route for each annotation and each nasty value, all in one: every single one is rejected, the bystander serves."""
    cases = {
        Asker.route("team", f"r{number}"): (key, value)
        for number, (key, value) in enumerate(
            # Among names of protocols that is one.
            (key, value)
            for key in DECIDING
            for value in NASTY
            if (key, value) != (TLS_ALPN, "null")
        )
    }
    routes = [victim(number, {key: value}) for number, (key, value) in enumerate(cases.values())]
    outcome = bench.judge(*routes, *DB)
    admitted = [cases[key] for key, verdict in outcome.verdicts.items() if verdict.admitted and key != INNOCENT]
    assert [(key, value[:40]) for key, value in admitted] == []
    assert set(cases) | {INNOCENT} == set(outcome.verdicts)
    for name, (key, _) in cases.items():
        verdict = outcome.verdicts[name]
        assert verdict.reason in (Reason.INVALID_ANNOTATION, Reason.INVALID_PORT)
        assert key in verdict.message
        assert verdict.message.isascii()
        assert verdict.message.isprintable()
        assert len(verdict.message) < 500


def test_signed_number_costs_only_its_route(bench: Bench) -> None:
    """``rate-limit-connections.concurrent-tcp: "+5"``, which HAProxy once refused the whole configuration for."""
    limited = {RATE_LIMIT: "true"}
    outcome = bench.judge(
        victim(1, {**limited, RATE_LIMIT_CONCURRENT: "+5"}), victim(2, {**limited, RATE_LIMIT_CONCURRENT: "5"}), *DB
    )
    signed, plain = outcome.verdicts[Asker.route("team", "r1")], outcome.verdicts[Asker.route("team", "r2")]
    assert signed.reason is Reason.INVALID_ANNOTATION
    assert RATE_LIMIT_CONCURRENT in signed.message
    assert "'+5'" in signed.message
    assert plain.admitted


def test_every_nasty_name_at_once(bench: Bench) -> None:
    """A Route for each nasty text in each field that names something; the bystander serves."""
    routes = []
    for number, text in enumerate(NASTY):
        base = victim(number)
        routes += [
            msgspec.structs.replace(base, metadata=msgspec.structs.replace(base.metadata, name=text)),
            msgspec.structs.replace(base, metadata=msgspec.structs.replace(base.metadata, namespace=text)),
            victim(1000 + number, host=text),
            victim(2000 + number, wildcard_policy=text),
            victim(3000 + number, to=RouteTarget(name=text)),
            victim(4000 + number, to=RouteTarget(name="db", kind=text)),
            victim(5000 + number, port=RoutePort(target_port=text)),
            victim(6000 + number, tls=RouteTLS(termination=text)),
            victim(7000 + number, alternate_backends=(RouteTarget(name=text),)),
        ]
    outcome = bench.judge(*routes, *DB)
    for verdict in outcome.verdicts.values():
        for text in (verdict.message, *verdict.warnings):
            assert text.isascii()
            assert text.isprintable()


TIMES = ("5s", "1", "24d", "1500us", "90m")
BOOLEANS = ("true", "false", "1", "F")
NUMBERS = ("1", "100", "10000000")
VALID: dict[str, tuple[str, ...]] = {
    ACCEPT_PROXY: BOOLEANS,
    BALANCE: ("roundrobin", "leastconn", "source", "random", "first"),
    CHECK_INTERVAL: ("0", "200ms", *TIMES),
    EXTERNAL_ADDRESS: ("pg",),
    EXTERNAL_TCP_PORT: ("6620", "65535", "1024"),
    EXTERNAL_TCP_PORT_SNI: BOOLEANS,
    IP_ALLOWLIST: ("10.0.0.0/8", "192.0.2.1 2001:db8::/32\n::1", "0.0.0.0/0"),
    IP_WHITELIST: ("10.0.0.0/8", "::ffff:10.0.0.1"),
    MAX_CONNECTIONS: NUMBERS,
    ON_MARKED_DOWN: ("shutdown-sessions",),
    ON_REMOVED: ("shutdown-sessions",),
    HASH_BALANCE_FACTOR: ("101", "1000"),
    POD_CONCURRENT_CONNECTIONS: ("0", *NUMBERS),
    RATE_LIMIT: BOOLEANS,
    RATE_LIMIT_CONCURRENT: NUMBERS,
    RATE_LIMIT_RATE: NUMBERS,
    SEND_PROXY: ("v1", "v2", "v2-ssl"),
    TCP_KEEPALIVE: BOOLEANS,
    TIMEOUT: TIMES,
    TIMEOUT_CLIENT: TIMES,
    TIMEOUT_CONNECT: TIMES,
    TIMEOUT_SERVER: TIMES,
    TIMEOUT_TUNNEL: TIMES,
    DESTINATION_SERVER_NAME: ("db.example.com",),
    CLIENT_CA: ("clients",),
    CLIENT_CERTIFICATE: ("required", "optional"),
    CLIENT_CRL: ("clients",),
    STARTTLS: ("postgres",),
    TLS_ALPN: ("postgresql", "h2,http/1.1"),
    TLS_MIN_VERSION: ("TLSv1.2", "TLSv1.3"),
}


def test_every_annotation_has_its_values_here() -> None:
    """An annotation that is new must be tried with odd values too."""
    assert set(VALID) == set(DECIDING)


GOOD = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in VALID.items()})
ODD = st.sampled_from(sorted(VALID)).flatmap(
    lambda key: st.builds(lambda value: {key: value}, around(*VALID[key]) | st.text(max_size=30))
)


@against_haproxy
@given(st.builds(lambda good, odd: {**good, **odd}, GOOD, st.just({}) | ODD))
@example({RATE_LIMIT_CONCURRENT: "+5", RATE_LIMIT: "true"})
@example({BALANCE: "source\n  server evil 192.0.2.66:1"})
@example({IP_ALLOWLIST: "10.0.0.0/8\n192.0.2.1 }\n  server evil 192.0.2.66:1"})
def test_annotations(bench: Bench, annotations: dict[str, str]) -> None:
    """Nearly right and arbitrary values of some annotations, on a Route that is good otherwise."""
    outcome = bench.judge(victim(annotations=annotations), *DB)
    event(str(outcome.verdicts[Asker.route("team", "r0")].reason))


@against_haproxy
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": around("db", "my.db", "a" * 253),
            "namespace": around("team", "a" * 63),
            "host": around("db.example.com", "DB.example.com", "x." * 126 + "x"),
            "wildcard_policy": around("Subdomain", "None"),
            "termination": around("passthrough", ""),
            "target_port": around("pg", "5432", "a" * 63),
            "service": around("db", "a" * 63),
            "pod": around("db-0", "a" * 253),
            "port_name": around("pg", ""),
            "label": around("db"),
            "address": around("10.1.0.1", "2001:db8::1", "::ffff:10.1.0.1"),
            "created": around("2024-01-01T00:00:00Z"),
        },
    )
)
def test_names(bench: Bench, text: dict[str, str]) -> None:
    """Nearly right names, hosts, addresses and the like, in all places that lead to one Route's section."""
    service = text.get("service", "db")
    namespace = text.get("namespace", "team")
    base = victim(
        host=text.get("host", "db.example.com"),
        wildcard_policy=text.get("wildcard_policy", "None"),
        tls=RouteTLS(termination=text.get("termination", "passthrough")),
        to=RouteTarget(name=service),
        port=RoutePort(target_port=text.get("target_port", text.get("port_name", "pg"))),
    )
    metadata = msgspec.structs.replace(
        base.metadata,
        name=text.get("name", "r0"),
        namespace=namespace,
        creation_timestamp=text.get("created", "2024-01-01T00:00:00Z"),
    )
    port_name = text.get("port_name", "pg")
    outcome = bench.judge(
        msgspec.structs.replace(base, metadata=metadata),
        Service(
            metadata=ObjectMeta(name=service, namespace=namespace),
            spec=ServiceSpec(ports=(ServicePort(port=5432, name=port_name, target_port=5432),)),
        ),
        EndpointSlice(
            metadata=ObjectMeta(
                name=service,
                namespace=namespace,
                labels={"kubernetes.io/service-name": text.get("label", service)},
            ),
            endpoints=(
                Endpoint(
                    addresses=(text.get("address", "10.1.0.1"),),
                    target_ref=TargetRef(kind="Pod", name=text.get("pod", "db-0")),
                ),
                Endpoint(addresses=("10.1.0.2",)),
            ),
            ports=(EndpointPort(name=port_name, port=5432),),
        ),
    )
    key = Asker.route(namespace, text.get("name", "r0"))
    event(str(outcome.verdicts[key].reason))


@against_haproxy
@given(st.lists(ROUTES, max_size=3), st.lists(SERVICES, max_size=2), st.lists(SLICES, max_size=2))
def test_objects_that_are_odd_all_over(
    bench: Bench, routes: list[Route], services: list[Service], slices: list[EndpointSlice]
) -> None:
    """Arbitrary objects beside each other."""
    bench.judge(*routes, *services, *slices)
