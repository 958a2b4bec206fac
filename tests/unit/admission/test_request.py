"""What a Route asks for: whose it is, its port, its host, its TLS, its Services and its name."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from router.admission import Outcome
from router.admission.options import PREFIX
from router.admission.verdicts import Reason
from router.model import Asker, Frontend, backend_name
from router.objects.route import Route, RouteTarget
from router.settings import AdmissionSettings, PortRanges
from tests.unit.admission.builders import (
    DB,
    SETTINGS,
    admit,
    asker,
    endpoint_slice,
    route,
    section_of,
    service,
    shared_of,
    sni_route,
    verdict_of,
)

NO_SNI = replace(SETTINGS, sni_port=0)


def named(**annotations: str) -> Route:
    """Make a Route with a port and just these annotations of ours."""
    own = {f"{PREFIX}external-tcp-port": "6620"} | {
        PREFIX + name.replace("_", "-"): text for name, text in annotations.items()
    }
    plain = route()
    return msgspec.structs.replace(plain, metadata=msgspec.structs.replace(plain.metadata, annotations=own))


OURS = {
    "router-name": (named(router_name="tcp-router"), True),
    "wzh-router-name": (named(wzh_router_name="tcp-router"), True),
    "router-name wins": (named(router_name="tcp-router", wzh_router_name="other"), True),
    "router-name wins for another": (named(router_name="other", wzh_router_name="tcp-router"), False),
    "another router's": (named(router_name="other"), False),
    "not told": (named(), False),
    "spelled otherwise": (named(router_name="TCP-Router"), False),
    "with a space": (named(router_name="tcp-router "), False),
}


@pytest.mark.parametrize(("given", "ours"), OURS.values(), ids=OURS)
def test_whose_a_route_is(given: Route, *, ours: bool) -> None:
    """The name decides; a Route of another router gets no verdict and nothing of the model."""
    outcome = admit(given, *DB)
    assert (asker("db") in outcome.verdicts) is ours
    assert bool(outcome.model.routes) is ours


def test_a_foreign_route_with_nonsense_is_left_alone() -> None:
    """What another router's Route says is not judged."""
    assert not admit(named(router_name="other", external_tcp_port="nonsense"), *DB).verdicts


def test_a_route_without_annotations_is_left_alone() -> None:
    """Most Routes of a cluster are of this kind."""
    plain = route()
    bare = msgspec.structs.replace(plain, metadata=msgspec.structs.replace(plain.metadata, annotations=None))
    assert not admit(bare, *DB).verdicts


def test_the_seeds_route_is_served() -> None:
    """The Route that started the project: passthrough TLS without a host, its port, its Service."""
    seed = route(
        "ottcache-002",
        None,
        termination="passthrough",
        to="ottcache-002-service",
        target_port=6620,
        annotations={
            f"{PREFIX}router-name": "wzh-router-1",
            f"{PREFIX}external-tcp-port": "6620",
        },
    )
    settings = replace(SETTINGS, router_name="wzh-router-1")
    outcome = admit(seed, settings=settings)
    verdict = outcome.verdicts[asker("ottcache-002")]
    assert (verdict.admitted, verdict.port, verdict.host) == (True, 6620, None)
    section = section_of(outcome, "ottcache-002")
    assert section.backend.name == "be_tcp:shop:ottcache-002"
    assert section.frontend is not None
    assert section.frontend.port == 6620


PORT_RULES: dict[str, tuple[int, AdmissionSettings, Reason | None, str]] = {
    "lowest by default": (1024, SETTINGS, None, ""),
    "highest": (65535, SETTINGS, None, ""),
    "below": (1023, SETTINGS, Reason.PORT_NOT_ALLOWED, "allowed are 1024-65535"),
    "outside": (
        7000,
        replace(SETTINGS, ports=PortRanges.parse("5000-5999,6500")),
        Reason.PORT_NOT_ALLOWED,
        "5000-5999,6500",
    ),
    "none allowed": (7000, replace(SETTINGS, ports=PortRanges(())), Reason.PORT_NOT_ALLOWED, "allowed are none"),
    "reserved": (
        1936,
        replace(SETTINGS, reserved_ports=PortRanges.of(1936)),
        Reason.PORT_RESERVED,
        "port 1936 is reserved",
    ),
    "reserved is told first": (22, replace(SETTINGS, reserved_ports=PortRanges.of(22)), Reason.PORT_RESERVED, "22"),
    "the SNI port": (8443, SETTINGS, Reason.PORT_RESERVED, "told apart by SNI"),
    "no SNI port": (8443, NO_SNI, None, ""),
}


@pytest.mark.parametrize("text", ["15_432", "15432", "1_5_4_3_2"])
def test_digits_of_a_port_may_be_grouped(text: str) -> None:
    """As they may in YAML, where that is a number: whoever puts quotes around it has not said another port."""
    assert verdict_of(route(port=text), *DB).port == 15432


@pytest.mark.parametrize("text", ["_15432", "15432_", "15__432", "0_5432", "_", "15 432", "15,432", "15.432"])
def test_other_groups_are_no_port(text: str) -> None:
    """The rest stays what it was."""
    assert verdict_of(route(port=text), *DB).reason is Reason.INVALID_PORT


@pytest.mark.parametrize(("port", "settings", "reason", "said"), PORT_RULES.values(), ids=PORT_RULES)
def test_which_ports_may_be_claimed(port: int, settings: AdmissionSettings, reason: Reason | None, said: str) -> None:
    """Reserved ports and those outside the allowed ranges are refused; the verdict tells the port."""
    verdict = verdict_of(route(port=port), *DB, settings=settings)
    assert (verdict.reason, verdict.port) == (reason, port)
    assert said in verdict.message


def test_a_route_that_asks_for_nothing_is_told_what_to_add() -> None:
    """Neither a port nor the SNI port: the message says both ways, or the one that there is."""
    verdict = verdict_of(route(port=None), *DB)
    assert verdict.reason is Reason.INVALID_PORT
    assert (
        f"add the annotation {PREFIX}external-tcp-port, or TLS (spec.tls.termination) and a spec.host"
        in verdict.message
    )
    assert "8443" in verdict.message
    without = verdict_of(sni_route("db", "db.example.com"), *DB, settings=NO_SNI)
    assert without.reason is Reason.INVALID_PORT
    assert "SNI" not in without.message
    no_host = verdict_of(route(port=None, termination="passthrough"), *DB)
    assert no_host.reason is Reason.INVALID_PORT
    no_tls = verdict_of(route(port=None, host="db.example.com"), *DB)
    assert no_tls.reason is Reason.INVALID_PORT


@pytest.mark.parametrize("termination", ["Passthrough", "\n", "x" * 10_000])
def test_where_tls_cannot_end(termination: str) -> None:
    """It ends in the pods or at the edge."""
    verdict = verdict_of(route(termination=termination), *DB)
    assert verdict.reason is Reason.UNSUPPORTED_TERMINATION
    assert ascii(termination[:5])[:-1] in verdict.message
    assert len(verdict.message) < 300


@pytest.mark.parametrize("termination", [None, "passthrough"])
def test_terminations_that_are_served(termination: str | None) -> None:
    """No tls and passthrough are the same on a port of one's own."""
    assert verdict_of(route(termination=termination), *DB).admitted


HOSTS: dict[str, tuple[str, str, str | None]] = {
    "exact": ("db.example.com", "None", "db.example.com"),
    "policy not told": ("db.example.com", "", "db.example.com"),
    "lower case": ("DB.Example.COM", "None", "db.example.com"),
    "one label": ("localhost", "None", "localhost"),
    "63 characters in a label": (f"{'a' * 63}.example.com", "None", f"{'a' * 63}.example.com"),
    "253 characters": (".".join(["a" * 49] * 5) + ".bcd", "None", ".".join(["a" * 49] * 5) + ".bcd"),
    "wildcard": ("www.example.com", "Subdomain", ".example.com"),
    "wildcard of a wildcard's child": ("www.a.example.com", "Subdomain", ".a.example.com"),
    "wildcard of one label": ("www.localdomain", "Subdomain", ".localdomain"),
    "64 characters in a label": (f"{'a' * 64}.example.com", "None", None),
    "254 characters": (".".join(["a" * 49] * 5) + ".bcde", "None", None),
    "underscore": ("my_db.example.com", "None", None),
    "star": ("*.example.com", "None", None),
    "dot at the end": ("example.com.", "None", None),
    "dot at the start": (".example.com", "None", None),
    "two dots": ("db..example.com", "None", None),
    "dash at the start": ("-db.example.com", "None", None),
    "newline": ("db.example.com\n", "None", None),
    "space": ("db example.com", "None", None),
    "port": ("db.example.com:443", "None", None),
    "umlaut": ("d\u00fc.example.com", "None", None),
    "kelvin sign": ("\u212aelvin.example.com", "None", None),
    "unicode digits": ("db\u0661.example.com", "None", None),
    "NUL": ("db\x00.example.com", "None", None),
    "wildcard without a domain": ("localhost", "Subdomain", None),
    "wildcard without a host": ("", "Subdomain", None),
    "another policy": ("db.example.com", "All", None),
    "policy in lower case": ("db.example.com", "subdomain", None),
    "long": ("a." * 50_000, "None", None),
}


@pytest.mark.parametrize(("host", "wildcard", "expected"), HOSTS.values(), ids=HOSTS)
def test_which_hosts_are_accepted(host: str, wildcard: str, expected: str | None) -> None:
    """Hosts are DNS names; Subdomain stands for all names directly under the domain of the host."""
    asked = route(port=None, host=host, termination="passthrough", wildcard=wildcard)
    outcome = admit(asked, *DB, settings=replace(SETTINGS, allow_wildcard_routes=True))
    verdict = outcome.verdicts[asker("db")]
    sni = shared_of(outcome, 8443)
    assert sni is not None
    if expected is None:
        assert (verdict.reason, sni.hosts) == (Reason.INVALID_HOST, ())
        assert len(verdict.message) < 400
        assert verdict.message.isprintable()
        assert verdict.message.isascii()
    else:
        assert verdict.admitted
        assert verdict.host == (f"*{expected}" if wildcard == "Subdomain" else expected)
        assert [(each.host, each.backend) for each in sni.hosts] == [(expected, backend_name(asker("db")))]


def test_the_host_of_a_route_without_tls_is_no_server_name() -> None:
    """Without TLS no client tells a name: the Route has its port, and nothing on the SNI port."""
    outcome = admit(route(host="db.example.com"), *DB)
    assert outcome.verdicts[asker("db")].host is None
    assert shared_of(outcome, 8443) is not None
    assert not any(frontend.hosts for frontend in outcome.model.shared)


def test_a_dedicated_port_and_the_sni_port_lead_to_one_backend() -> None:
    """Passthrough TLS with a host and a port of its own is reached both ways."""
    outcome = admit(route(host="db.example.com", termination="passthrough"), *DB)
    assert (outcome.verdicts[asker("db")].port, outcome.verdicts[asker("db")].host) == (6620, "db.example.com")
    assert isinstance(section_of(outcome).frontend, Frontend)
    sni = shared_of(outcome, 8443)
    assert sni is not None
    assert [host.backend for host in sni.hosts] == [section_of(outcome).backend.name]


def test_the_sni_port_is_there_without_routes() -> None:
    """It listens as soon as the router does, with the router's defaults; 0 is none."""
    sni = shared_of(admit(), 8443)
    assert sni is not None
    assert (sni.hosts, sni.options.timeout_client_ms, sni.options.maxconn) == ((), 30_000, None)
    assert (sni.options.accept_proxy, sni.options.tcp_keepalive) == (False, True)
    assert admit(settings=NO_SNI) == Outcome(admit(settings=NO_SNI).model, {})
    assert admit(settings=NO_SNI).model.shared == ()


TARGETS: dict[str, tuple[dict[str, object], str]] = {
    "kind": ({"to": RouteTarget(name="db", kind="Pod")}, "spec.to.kind is 'Pod'"),
    "hostile kind": ({"to": RouteTarget(name="db", kind="x\ny")}, r"spec.to.kind is 'x\ny'"),
    "alternate's kind": (
        {"alternates": (RouteTarget(name="b", kind="Node"),)},
        "spec.alternateBackends[0].kind is 'Node'",
    ),
    "no name": ({"to": RouteTarget()}, "spec.to.name is empty"),
    "a name of two words": ({"to": RouteTarget(name="a b")}, "spec.to.name is 'a b', which no Service can be named"),
    "a name that ends a selector": ({"to": RouteTarget(name="a,b")}, "spec.to.name is 'a,b'"),
    "a name of several labels": ({"to": RouteTarget(name="a.b")}, "spec.to.name is 'a.b'"),
    "a name that is a path": ({"to": RouteTarget(name="../secrets")}, "spec.to.name is '../secrets'"),
    "a long name": ({"to": RouteTarget(name="a" * 64)}, "spec.to.name is 'aaaa"),
    "alternate's name": (
        {"alternates": (RouteTarget(name="A"),)},
        "spec.alternateBackends[0].name is 'A', which no Service can be named",
    ),
    "many alternates": (
        {"alternates": tuple(RouteTarget(name=f"s{number}") for number in range(17))},
        "spec.alternateBackends has 17 entries; accepted are up to 16",
    ),
    "weight above": ({"to": RouteTarget(name="db", weight=257)}, "spec.to.weight is 257; accepted is 0 to 256"),
    "weight below": ({"to": RouteTarget(name="db", weight=-1)}, "spec.to.weight is -1"),
    "huge weight": ({"to": RouteTarget(name="db", weight=1 << 50_000)}, "more than 18 digits"),
    "alternate's weight": (
        {"alternates": (RouteTarget(name="a"), RouteTarget(name="b", weight=999))},
        "spec.alternateBackends[1].weight is 999",
    ),
}


@pytest.mark.parametrize(("given", "said"), TARGETS.values(), ids=TARGETS)
def test_targets_that_cannot_be_served(given: dict[str, object], said: str) -> None:
    """What the API server would not have let in is refused with its path, never clamped."""
    verdict = verdict_of(route(**given), *DB)  # type: ignore[arg-type]  # a table of keywords
    assert verdict.reason is Reason.CONFIG_REJECTED
    assert said in verdict.message


@pytest.mark.parametrize("target_port", [0, -5, 65536, 10**30, "0", "65536x", ""])
def test_target_ports(target_port: int | str) -> None:
    """A number that no port can have is refused; a text is a name, unless it is digits; the empty text is none."""
    verdict = verdict_of(route(target_port=target_port), *DB)
    refused = isinstance(target_port, int)
    assert verdict.reason is (Reason.INVALID_PORT if refused else None)


NAMES = {
    "newline": ("shop", "db\nx"),
    "space": ("shop", "d b"),
    "colon": ("shop", "db:x"),
    "upper case": ("shop", "DB"),
    "empty": ("shop", ""),
    "long": ("shop", "d" * 254),
    "namespace with a colon": ("a:b", "db"),
    "namespace with a dot": ("a.b", "db"),
    "long namespace": ("n" * 64, "db"),
    "NUL": ("shop", "\x00"),
    "unicode digit": ("shop", "db\u0661"),
}


@pytest.mark.parametrize(("namespace", "name"), NAMES.values(), ids=NAMES)
def test_names_that_kubernetes_would_not_take_do_not_reach_haproxy(namespace: str, name: str) -> None:
    """Such a Route is rejected, in words that are safe to print, and others are served."""
    outcome = admit(route(name, namespace=namespace), route("other", 7000), *DB)
    verdict = outcome.verdicts[Asker.route(namespace, name)]
    assert verdict.reason is Reason.CONFIG_REJECTED
    assert verdict.message.isprintable()
    assert verdict.message.isascii()
    assert len(verdict.message) < 300
    assert [section.route for section in outcome.model.routes] == ["other"]


def test_a_name_with_dots_is_a_name() -> None:
    """Routes are named as DNS subdomains, dots and all."""
    assert verdict_of(route("db.v1-x"), *DB, name="db.v1-x").admitted


def test_a_service_that_is_named_twice_gets_both_shares() -> None:
    """One Service in spec.to and alternateBackends is one set of servers, with the sum of the weights."""
    twice = route(alternates=(RouteTarget(name="db", weight=100), RouteTarget(name="b", weight=100)))
    b = (service("b"), endpoint_slice("10.2.0.1", service="b"))
    servers = section_of(admit(twice, *DB, *b)).backend.servers
    assert sorted((server.address, server.weight) for server in servers) == [("10.1.0.1", 256), ("10.2.0.1", 128)]
