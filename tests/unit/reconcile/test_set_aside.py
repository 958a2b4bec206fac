"""Leaving out what HAProxy refused, and serving the rest."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission import Outcome, Verdict
from router.admission.verdicts import Reason
from router.model import (
    Asker,
    Backend,
    Frontend,
    Model,
    PortOptions,
    RouteSection,
    SharedFrontend,
    SniHost,
    Spot,
    backend_name,
    spots,
)
from router.reconcile import set_aside
from router.reconcile.listening import Listening
from router.reconcile.set_aside import Aside, Asides, without
from router.settings import AdmissionSettings
from tests.unit.admission.builders import DB, admit, route, sni_route

OPTIONS = PortOptions(timeout_client_ms=30_000, maxconn=None, tcp_keepalive=True, accept_proxy=False)
BACKEND = Backend(
    name="",
    balance="leastconn",
    hash_balance_factor=None,
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
NO = Aside(Reason.CONFIG_REJECTED, "no")
TAKEN = Aside(Reason.PORT_UNAVAILABLE, "taken")


def section(name: str, port: int | None) -> RouteSection:
    """Make the section of the Route ``team/<name>``."""
    backend = replace(BACKEND, name=backend_name(key(name)))
    return RouteSection(key(name), backend, Frontend(port, OPTIONS) if port is not None else None)


def host(name: str, route: str) -> SniHost:
    """Make a host that leads to the Route ``team/<route>``."""
    return SniHost(name, backend_name(key(route)), key(route))


def key(name: str) -> Asker:
    """Make the key of the Route ``team/<name>``."""
    return Asker.route("team", name)


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
        key("both"): Verdict(asker=key("both"), port=7001, host="b.example.com"),
        key("plain"): Verdict(asker=key("plain"), port=7002, warnings=("no endpoints",)),
        key("shared"): Verdict(asker=key("shared"), port=7443, host="s.example.com"),
        key("sni"): Verdict(asker=key("sni"), host="n.example.com"),
    }
    return Outcome(model, verdicts)


def rejected(outcome: Outcome) -> dict[str, Reason | None]:
    """Give the reasons of the rejected Routes by name."""
    return {k.name: verdict.reason for k, verdict in outcome.verdicts.items() if not verdict.admitted}


def test_nothing_refused_changes_nothing(outcome: Outcome) -> None:
    """Without refusals the very same outcome comes back."""
    assert without(outcome, Asides({}, {})) is outcome


def test_refused_route_costs_only_itself(outcome: Outcome) -> None:
    """A refused Route loses section and hosts; all other sections stay the same objects."""
    less = without(outcome, Asides({key("both"): NO}, {}))
    assert rejected(less) == {"both": Reason.CONFIG_REJECTED}
    assert less.model.routes == outcome.model.routes[1:]
    assert all(after is before for after, before in zip(less.model.routes, outcome.model.routes[1:], strict=True))
    assert [h.asker.name for h in less.model.shared[1].hosts] == ["sni"]
    assert less.model.shared[0] is outcome.model.shared[0]


def test_refused_dedicated_port_costs_its_route(outcome: Outcome) -> None:
    """The Route of a port that cannot be bound is rejected with the port's reason."""
    less = without(outcome, Asides({}, {Spot(7002): TAKEN}))
    assert rejected(less) == {"plain": Reason.PORT_UNAVAILABLE}
    assert less.verdicts[key("plain")].message == "taken"
    assert less.verdicts[key("plain")].warnings == ()


def test_refused_shared_port_costs_those_that_have_no_other(outcome: Outcome) -> None:
    """Without the SNI port, a Route with a port of its own is still served; one without is not."""
    less = without(outcome, Asides({}, {Spot(8443): TAKEN}))
    assert rejected(less) == {"sni": Reason.PORT_UNAVAILABLE}
    assert [frontend.port for frontend in less.model.shared] == [7443]


def test_refused_external_shared_port_names_that_port(outcome: Outcome) -> None:
    """A Route on a shared external port gets that port's refusal, whatever else is refused."""
    other = Aside(Reason.PORT_UNAVAILABLE, "another")
    less = without(outcome, Asides({}, {Spot(8443): other, Spot(7443): TAKEN}))
    assert less.verdicts[key("shared")].message == "taken"
    assert less.verdicts[key("sni")].message == "another"


def test_refusal_of_something_gone_is_passed_over(outcome: Outcome) -> None:
    """A refusal of a Route or port that the model no longer has does no harm."""
    less = without(outcome, Asides({key("gone"): NO}, {Spot(9999): TAKEN}))
    assert less.model == outcome.model
    assert less.verdicts == outcome.verdicts


@given(st.sets(st.sampled_from("abcdefgh")), st.sets(st.sampled_from("abcdefghx")))
def test_refused_routes_are_left_out_alike_whether_a_port_is_too(with_port: set[str], refused: set[str]) -> None:
    """The quick way, by which everybody's changes go while somebody's Route is refused, is the way for ports without any."""
    settings = AdmissionSettings(allow_wildcard_routes=True)
    routes = [
        sni_route(
            name,
            f"{name}.{'x' if name in 'ab' else 'y'}.example.com",
            7000 if name in with_port else None,
            wildcard="Subdomain" if name in "bd" else "None",
        )
        for name in "abcdefg"
    ]
    outcome = admit(*routes, route("h", 7001), *DB, settings=settings)
    refusals = {Asker.route("shop", name): NO for name in refused}
    quick = without(outcome, Asides(refusals, {}))
    slow = without(outcome, Asides(refusals, {Spot(9): TAKEN}))
    assert quick.model == slow.model
    assert list(quick.verdicts.items()) == list(slow.verdicts.items())
    assert outcome == admit(*routes, route("h", 7001), *DB, settings=settings)


def test_one_refused_route_does_not_have_all_others_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """One team's refused Route must not make the changes of all others slower: a search, and copies."""
    keys = Mock(wraps=set_aside.asker_of)
    monkeypatch.setattr(set_aside, "asker_of", keys)
    many = [route(f"r{number}", 10_000 + number) for number in range(300)]
    outcome = admit(*many, *DB)
    left = without(outcome, Asides({Asker.route("shop", "r7"): NO}, {}))
    assert len(left.model.routes) == 299
    assert keys.call_count < 20


_SPOTS = [Spot(port) for port in (*range(7000, 7004), 7443, 8443)]


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([None, *range(7000, 7004), 7443])),
            st.sets(st.sampled_from(_SPOTS), min_size=1),
            st.sets(st.sampled_from("abcdefgh"), max_size=2),
        ),
        max_size=6,
    )
)
def test_ports_that_are_refused_cost_the_same_whatever_was_before(
    steps: list[tuple[dict[str, int | None], set[Spot], set[str]]],
) -> None:
    """Who is reached where, followed from one outcome to the next, is what a look at all Routes finds, and who is refused is reached nowhere else."""
    settings = AdmissionSettings()
    listening = Listening()
    for asked, taken, refused in steps:
        routes = [
            sni_route(name, f"{name}.example.com", port) if port in {None, 7443} else route(name, port)
            for name, port in asked.items()
        ]
        outcome = admit(*routes, *DB, settings=settings)
        refusals = Asides({Asker.route("shop", name): NO for name in refused}, dict.fromkeys(taken, TAKEN))
        listening.follow(outcome.model)
        left = without(outcome, refusals, listening)
        assert left == without(outcome, refusals)
        assert all(spot in listening for spot in spots(outcome.model))
        assert not spots(left.model) & taken
        for section in outcome.model.routes:
            hosts = {each.spot for each in outcome.model.shared for host in each.hosts if host.asker == section.asker}
            reached = {section.frontend.spot} if section.frontend is not None else hosts
            is_served = section.asker.name not in refused and not reached <= taken
            assert left.verdicts[section.asker].admitted == is_served
            assert (section in left.model.routes) == is_served
