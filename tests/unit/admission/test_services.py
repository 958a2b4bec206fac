"""Services that ask to be served: single ports and named ones, each for itself, in one queue with Routes."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission import Reason
from router.admission.options import EXTERNAL_TCP_PORT
from router.admission.service import ADMITTED, MAX_SECTIONS
from router.model import Asker
from router.objects.core import Condition, ServicePort, ServiceStatus
from router.objects.discovery import EndpointPort
from tests.unit.admission.builders import (
    DB,
    SETTINGS,
    admit,
    asker,
    asking,
    endpoint_slice,
    port_claim,
    port_of_service,
    route,
    service,
)

PG, METRICS = ServicePort(port=5432, name="pg"), ServicePort(port=9187, name="metrics")
DNS = ServicePort(port=53, name="dns", protocol="UDP")
SLICE = endpoint_slice("10.1.0.1", ports=(EndpointPort(name="pg", port=5432), EndpointPort(name="metrics", port=9187)))


def test_a_service_with_one_port_asks_as_a_route_does() -> None:
    """Its port is open and leads to its pods, with the options of its annotations."""
    outcome = admit(asking(balance="source"), SLICE)
    (section,) = outcome.model.routes
    assert section.asker == port_of_service("db")
    assert (section.backend.name, section.backend.balance) == ("be_tcp:shop:service_db", "source")
    assert section.frontend is not None
    assert section.frontend.port == 6620
    assert [(each.address, each.port) for each in section.backend.servers] == [("10.1.0.1", 5432)]
    assert outcome.verdicts[port_of_service("db")].admitted


def test_each_named_port_is_admitted_for_itself_and_leads_to_its_own() -> None:
    """One loses its port to a Route, the other is served all the same."""
    older = route("first", 19187, created="2020-01-01T00:00:00Z")
    outcome = admit(asking("db", "pg=15432 metrics=19187", PG, METRICS), SLICE, older)
    pg, metrics = (outcome.verdicts[port_of_service("db", name)] for name in ("pg", "metrics"))
    assert (pg.admitted, pg.port) == (True, 15432)
    assert (metrics.reason, metrics.message) == (Reason.PORT_ALREADY_CLAIMED, "port 19187 is held by Route shop/first")
    alone = admit(asking("db", "pg=15432 metrics=19187", PG, METRICS), SLICE)
    led = {each.backend.name: [server.port for server in each.backend.servers] for each in alone.model.routes}
    assert led == {"be_tcp:shop:service_db_pg": [5432], "be_tcp:shop:service_db_metrics": [9187]}


@pytest.mark.parametrize(
    ("asks", "ports", "reason", "said"),
    [
        (None, (PG,), Reason.INVALID_PORT, "the Service asks for no port: add the annotation"),
        ("", (PG,), Reason.INVALID_PORT, "has ''; accepted is a port or auto, or up to 16 names"),
        ("6620 6621", (PG,), Reason.INVALID_PORT, "has '6620 6621'; accepted is a port"),
        ("pg=", (PG,), Reason.INVALID_PORT, "has 'pg='; accepted is a port"),
        ("pg=6620 6621", (PG,), Reason.INVALID_PORT, "has '6621'; accepted is a port"),
        ("pg=6620,metrics=6621", (PG, METRICS), Reason.INVALID_PORT, "has 'pg=6620,metrics=6621'"),
        ("PG=6620", (PG,), Reason.INVALID_PORT, "has 'PG=6620'"),
        ("pg=70000", (PG,), Reason.INVALID_PORT, "has 'pg=70000'"),
        ("pg=6620 pg=6621", (PG,), Reason.INVALID_PORT, "names 'pg' twice"),
        ("6620", (PG, METRICS), Reason.AMBIGUOUS_TARGET_PORT, "'pg' (5432), 'metrics' (9187); say which in annotation"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_rejection(
    asks: str | None, ports: tuple[ServicePort, ...], reason: Reason, said: str
) -> None:
    """The Service as a whole is told what is wrong and what would be right, and nothing of it is served."""
    outcome = admit(asking("db", asks, *ports), SLICE, route("other", 7000), *DB[1:])
    verdict = outcome.verdicts[port_of_service("db")]
    assert verdict.reason is reason
    assert said in verdict.message
    assert EXTERNAL_TCP_PORT in verdict.message
    assert [each.route for each in outcome.model.routes] == ["other"]


def test_the_form_for_several_ports_is_told_where_one_is_not_enough() -> None:
    """Whoever has two TCP ports reads the value to write."""
    verdict = admit(asking("db", "6620", PG, METRICS)).verdicts[port_of_service("db")]
    assert verdict.message.endswith(
        "say which in annotation haproxy.router.openshift.io/external-tcp-port, as in 'pg=6620'"
    )


def test_ports_that_are_not_tcp_are_told_and_cost_nothing_else() -> None:
    """Beside a single TCP port they are a warning; asked for by name they are rejected alone."""
    single = admit(asking("db", "6620", PG, DNS), SLICE).verdicts[port_of_service("db")]
    assert single.admitted
    assert single.warnings == ("only TCP is served; left out are 'dns' (53)",)
    named = admit(asking("db", "pg=6620 dns=6621 nope=6622", PG, DNS), SLICE).verdicts
    assert named[port_of_service("db", "pg")].admitted
    assert named[port_of_service("db", "dns")].message == "port 'dns' of the Service is 'UDP'; only TCP can be served"
    assert "has no port named 'nope'; it has 'pg' (5432), 'dns' (53)" in named[port_of_service("db", "nope")].message


def test_a_headless_service_is_served_and_an_external_name_is_not() -> None:
    """Pods are found by slices, which a headless Service has; what has no pods of its own is not led to. LoadBalancers are Services."""
    assert admit(asking(cluster_ip="None"), SLICE).model.routes[0].backend.servers
    assert admit(asking(kind="LoadBalancer"), SLICE).model.routes[0].backend.servers
    external = admit(asking(kind="ExternalName"), SLICE)
    assert external.verdicts[port_of_service("db")].reason is Reason.EXTERNAL_NAME_NOT_ALLOWED
    assert external.model.routes == ()


def test_a_service_asks_for_at_most_so_many_ports() -> None:
    """With more, it is served none: a bound for what one object costs."""
    ports = [ServicePort(port=1000 + number, name=f"p{number}") for number in range(MAX_SECTIONS + 1)]
    asks = [f"p{number}={10_000 + number}" for number in range(MAX_SECTIONS + 1)]
    assert len(admit(asking("db", " ".join(asks[:-1]), *ports)).verdicts) == MAX_SECTIONS
    (verdict,) = admit(asking("db", " ".join(asks), *ports)).verdicts.values()
    assert "asks for more than 16 ports" in verdict.message
    (verdict,) = admit(asking("db", "p0=1 " * 100_000, *ports)).verdicts.values()
    assert "asks for more than 16 ports" in verdict.message


ENTRIES = st.tuples(
    st.sampled_from(["pg", "metrics", "dns", "PG", "", "a" * 70]),
    st.sampled_from(["=", "==", " ", ""]),
    st.text(max_size=6),
)


@given(st.text(max_size=40) | st.lists(ENTRIES.map("".join), max_size=20).map(" ".join), st.text(max_size=20))
def test_whatever_is_asked_costs_only_itself(asks: str, name: str) -> None:
    """Messages are short and can be printed, sections are few, and the names that reach HAProxy have no surprises."""
    outcome = admit(asking("db", asks, PG, ServicePort(port=1, name=name), DNS), SLICE, route("other", 7000), *DB[1:])
    assert outcome.verdicts[asker("other")].admitted
    assert len(outcome.verdicts) <= 1 + MAX_SECTIONS
    for verdict in outcome.verdicts.values():
        assert verdict.message.isascii()
        assert verdict.message.isprintable()
        assert len(verdict.message) < 1500
    for section in outcome.model.routes:
        assert re.fullmatch(r"be_tcp:shop:[a-z0-9_-]+", section.backend.name)


def test_a_host_is_a_routes_alone() -> None:
    """``external-tcp-port-sni`` on a Service is an error that says why."""
    verdict = admit(asking(external_tcp_port_sni="true")).verdicts[port_of_service("db")]
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert "needs a host, which only a Route can have" in verdict.message


@pytest.mark.parametrize("port", ["22", "8443"])
def test_reserved_ports_and_those_that_are_not_allowed_are_nobodys(port: str) -> None:
    """The same rules as for Routes, section by section."""
    verdicts = admit(asking("db", f"pg={port} metrics=6620", PG, METRICS), SLICE).verdicts
    assert verdicts[port_of_service("db", "pg")].reason in {Reason.PORT_RESERVED, Reason.PORT_NOT_ALLOWED}
    assert verdicts[port_of_service("db", "metrics")].admitted


def test_a_service_takes_nothing_that_another_namespaces_route_holds() -> None:
    """However old the Service is: one queue for all kinds, in which who holds the port by a PortClaim comes first."""
    holder = route("db", 6620, created="2025-01-01T00:00:00Z")
    thief = asking("old", "pg=6620 metrics=6621", PG, METRICS, namespace="thief", created="2001-01-01T00:00:00Z")
    outcome = admit(holder, port_claim("c", 6620, asker("db")), *DB, thief)
    assert outcome.verdicts[asker("db")].admitted
    assert outcome.verdicts[port_of_service("old", "pg", "thief")].message == "port 6620 is held by Route shop/db"
    by_age = admit(route("db", 6620, created="2025-01-01T00:00:00Z"), *DB, thief)
    assert by_age.verdicts[asker("db")].message == "port 6620 is held by Service thief/old port pg"


@pytest.mark.parametrize("router", ["tcp-router", "another"])
def test_the_status_of_a_service_counts_for_nothing(router: str) -> None:
    """Teams may write it: an older Route gets the port, whoever is said to have it."""
    said = Condition(ADMITTED, "True", "Admitted", f"{router}: has pg=6620")
    there = msgspec.structs.replace(asking("db", "pg=6620"), status=ServiceStatus((said,)))
    outcome = admit(there, SLICE, route("old", 6620, created="2001-01-01T00:00:00Z"))
    assert outcome.verdicts[asker("old")].admitted
    assert not outcome.verdicts[port_of_service("db", "pg")].admitted


def test_names_of_kinds_and_namespaces_do_not_meet() -> None:
    """A Route and a Service of one name are two askers with two backends; of one age the kind decides, on every replica alike."""
    outcome = admit(route("db", 6620), asking("db", "6620"), SLICE)
    assert outcome.verdicts[asker("db")].admitted
    assert outcome.verdicts[port_of_service("db")].message == "port 6620 is held by Route shop/db"
    both = admit(route("db", 6621), asking("db", "6620"), SLICE)
    assert [each.backend.name for each in both.model.routes] == ["be_tcp:shop:service_db", "be_tcp:shop:db"]


def test_a_service_that_asks_no_more_is_a_service_all_the_same() -> None:
    """A Route goes on leading to it."""
    outcome = admit(route(), service(), *DB[1:])
    assert list(outcome.verdicts) == [asker("db")]
    assert outcome.model.routes[0].backend.servers


def test_a_service_of_another_router_is_left_alone() -> None:
    """Without our name it asks nothing of us."""
    other = replace(SETTINGS, router_name="other")
    assert admit(asking(), SLICE, settings=other).verdicts == {}
    assert admit(service(annotations={EXTERNAL_TCP_PORT: "6620"}), SLICE).verdicts == {}
    assert Asker("", "Service", "shop", "db") == port_of_service("db")


def test_tls_ends_for_routes_alone() -> None:
    """A Service whose clients were to be answered in plain text is told so, and is not served as if it had not said it."""
    verdict = admit(asking(starttls="postgres"), SLICE).verdicts[port_of_service("db")]
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert "starttls is for TLS that ends at the router, which is so for Routes alone" in verdict.message
