"""Leaving out what HAProxy refused, and serving the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.admission import Outcome, Verdict
from router.admission.verdicts import Reason
from router.model import Backend, Frontend, Model, PortOptions, RouteSection, SharedFrontend, SniHost, backend_name
from router.resources import ObjectKey
from router.set_aside import Refusal, Refusals, without

OPTIONS = PortOptions(timeout_client_ms=30_000, maxconn=None, tcp_keepalive=True, accept_proxy=False)
BACKEND = Backend(
    name="",
    balance="leastconn",
    timeout_connect_ms=5_000,
    timeout_server_ms=30_000,
    timeout_tunnel_ms=3_600_000,
    check_interval_ms=5_000,
    shutdown_sessions_on_marked_down=False,
    tcp_keepalive=True,
    send_proxy=None,
    server_maxconn=None,
    allowlist=None,
    connection_limit=None,
    servers=(),
)
NO = Refusal(Reason.CONFIG_REJECTED, "no")
TAKEN = Refusal(Reason.PORT_UNAVAILABLE, "taken")


def section(name: str, port: int | None) -> RouteSection:
    """Make the section of the Route ``team/<name>``."""
    backend = replace(BACKEND, name=backend_name("team", name))
    return RouteSection("team", name, backend, Frontend(port, OPTIONS) if port is not None else None)


def host(name: str, route: str) -> SniHost:
    """Make a host that leads to the Route ``team/<route>``."""
    return SniHost(name, backend_name("team", route), "team", route)


def key(name: str) -> ObjectKey:
    """Make the key of the Route ``team/<name>``."""
    return ObjectKey("team", name)


@pytest.fixture
def outcome() -> Outcome:
    """Two dedicated ports, one of them also on the SNI port; one Route on the SNI port alone; one on a shared port."""
    model = Model(
        routes=(section("both", 7001), section("plain", 7002), section("shared", None), section("sni", None)),
        shared=(
            SharedFrontend(7443, OPTIONS, (host("s.example.com", "shared"),)),
            SharedFrontend(8443, OPTIONS, (host("b.example.com", "both"), host("n.example.com", "sni"))),
        ),
    )
    verdicts = {
        key("both"): Verdict(route=key("both"), port=7001, host="b.example.com"),
        key("plain"): Verdict(route=key("plain"), port=7002, warnings=("no endpoints",)),
        key("shared"): Verdict(route=key("shared"), port=7443, host="s.example.com"),
        key("sni"): Verdict(route=key("sni"), host="n.example.com"),
    }
    return Outcome(model, verdicts)


def rejected(outcome: Outcome) -> dict[str, Reason | None]:
    """Give the reasons of the rejected Routes by name."""
    return {k.name: verdict.reason for k, verdict in outcome.verdicts.items() if not verdict.admitted}


def test_nothing_refused_changes_nothing(outcome: Outcome) -> None:
    """Without refusals the very same outcome comes back."""
    assert without(outcome, Refusals({}, {})) is outcome


def test_refused_route_costs_only_itself(outcome: Outcome) -> None:
    """A refused Route loses section and hosts; all other sections stay the same objects."""
    less = without(outcome, Refusals({key("both"): NO}, {}))
    assert rejected(less) == {"both": Reason.CONFIG_REJECTED}
    assert less.model.routes == outcome.model.routes[1:]
    assert all(after is before for after, before in zip(less.model.routes, outcome.model.routes[1:], strict=True))
    assert [h.route for h in less.model.shared[1].hosts] == ["sni"]
    assert less.model.shared[0] is outcome.model.shared[0]


def test_refused_dedicated_port_costs_its_route(outcome: Outcome) -> None:
    """The Route of a port that cannot be bound is rejected with the port's reason."""
    less = without(outcome, Refusals({}, {7002: TAKEN}))
    assert rejected(less) == {"plain": Reason.PORT_UNAVAILABLE}
    assert less.verdicts[key("plain")].message == "taken"
    assert less.verdicts[key("plain")].warnings == ()


def test_refused_shared_port_costs_those_that_have_no_other(outcome: Outcome) -> None:
    """Without the SNI port, a Route with a port of its own is still served; one without is not."""
    less = without(outcome, Refusals({}, {8443: TAKEN}))
    assert rejected(less) == {"sni": Reason.PORT_UNAVAILABLE}
    assert [frontend.port for frontend in less.model.shared] == [7443]


def test_refused_external_shared_port_names_that_port(outcome: Outcome) -> None:
    """A Route on a shared external port gets that port's refusal, whatever else is refused."""
    other = Refusal(Reason.PORT_UNAVAILABLE, "another")
    less = without(outcome, Refusals({}, {8443: other, 7443: TAKEN}))
    assert less.verdicts[key("shared")].message == "taken"
    assert less.verdicts[key("sni")].message == "another"


def test_refusal_of_something_gone_is_passed_over(outcome: Outcome) -> None:
    """A refusal of a Route or port that the model no longer has does no harm."""
    less = without(outcome, Refusals({key("gone"): NO}, {9999: TAKEN}))
    assert less.model == outcome.model
    assert less.verdicts == outcome.verdicts
