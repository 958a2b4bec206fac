"""The one map of names that HAProxy looks into leads where the listener first, and the route in it second, would lead."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission.gateway.hosts import ANY, MAX_LABELS, claimed, covers, specificity
from router.admission.gateway.tables import Led, Table
from router.model import Asker, PortOptions, SharedFrontend, SniHost, backend_name
from router.model.tls import PortTls
from tests.support.certificates import make, shown_by
from tests.support.gateway_model import go_by

OPTIONS = PortOptions(timeout_client_ms=1, maxconn=None, tcp_keepalive=True, accept_proxy=False)
NAMES = ("*", "*.x", "a.x", "*.b.x", "a.b.x", "*.y", "y")
HOSTS = ("x", "a.x", "c.x", "b.x", "a.b.x", "c.b.x", "d.c.b.x", "y", "a.y", "z")
A_LISTENER = st.tuples(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), max_size=4))


def listener(number: int) -> Asker:
    """Give a listener."""
    return Asker("g", "Gateway", "team", f"gw{number}", "l")


def route(number: int) -> Asker:
    """Give a TLSRoute."""
    return Asker("g", "TLSRoute", "team", f"r{number}")


def looked_up(frontend: SharedFrontend, host: str) -> str | None:
    """Look for a host as ``shared.cfg.j2`` does."""
    found = {each.host: each.backend for each in frontend.hosts}
    labels = host.split(".")
    keys = [host, f".{host.partition('.')[2]}"]
    keys += [f"*.{'.'.join(labels[-count:])}" for count in range(MAX_LABELS, 0, -1) if len(labels) > count]
    return next((found[key] for key in [*keys, ANY] if key in found), None)


def wanted(tables: dict[Asker, Table], host: str) -> str | None:
    """Choose the listener with the most specific hostname, and in it the route with the most specific name."""
    there = [(each, table) for each, table in tables.items() if go_by(table.hostname, host)]
    if not there:
        return None
    chosen, table = max(there, key=lambda each: specificity(each[1].hostname))
    names = [each for each in table.hosts if go_by(each.host, host)]
    return max(names, key=lambda each: specificity(each.host)).backend if names else backend_name(chosen)


@cache
def ending() -> PortTls:
    """Show a certificate."""
    return shown_by(make("*.b.x"))


def table(hostname: str, leads: dict[str, int], tls: PortTls | None = None) -> Table:
    """Make the table of a listener with these routes."""
    names = sorted((name, route(each)) for name, each in leads.items() if covers(hostname, name))
    return Table(hostname, tuple(SniHost(name, backend_name(asker), asker, tls) for name, asker in names))


@given(st.lists(A_LISTENER, max_size=4, unique_by=lambda each: each[0]))
@settings(max_examples=500)
def test_a_name_leads_to_the_most_specific_listener_and_there_to_the_most_specific_route(
    listeners: list[tuple[str, dict[str, int]]],
) -> None:
    """For all hosts; and again it is the same object."""
    tables = {listener(number): table(hostname, leads) for number, (hostname, leads) in enumerate(listeners)}
    hosts = tuple(
        sorted(SniHost(claimed(table.hostname), backend_name(asker), asker) for asker, table in tables.items())
    )
    led = Led()
    shared = (SharedFrontend(443, OPTIONS, hosts),)
    (frontend,) = led.lead(shared, tables.get, lambda _: True)
    assert list(frontend.hosts) == sorted(frontend.hosts, key=lambda each: each.host)
    for host in HOSTS:
        assert looked_up(frontend, host) == wanted(tables, host), host
    assert led.lead(shared, tables.get, lambda _: True)[0] is frontend


@given(
    st.lists(A_LISTENER, min_size=1, max_size=3, unique_by=lambda each: each[0]),
    st.lists(
        st.tuples(
            st.integers(0, 2), st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), max_size=4), st.booleans()
        ),
        max_size=6,
    ),
    st.lists(st.sampled_from([".x", "a.x", ".b.x", "y"]), max_size=2, unique=True),
    st.booleans(),
)
@settings(max_examples=300)
def test_names_that_come_and_go_are_led_as_if_they_had_been_there_from_the_beginning(
    listeners: list[tuple[str, dict[str, int]]],
    steps: list[tuple[int, dict[str, int], bool]],
    others: list[str],
    ends_tls: bool,  # noqa: FBT001 - Hypothesis
) -> None:
    """After each change of a listener's names, with Routes on the same port; what did not change is the object that it was."""
    tls = ending() if ends_tls else None
    routes = [
        SniHost(each, f"be_tcp:team:{number}", Asker.route("team", str(number)), tls)
        for number, each in enumerate(others)
    ]
    tables = {listener(number): table(hostname, leads, tls) for number, (hostname, leads) in enumerate(listeners)}
    claims = [SniHost(claimed(each.hostname), backend_name(asker), asker) for asker, each in tables.items()]
    claims = [each for each in claims if each.host not in others] + routes
    shared = (SharedFrontend(443, OPTIONS, tuple(sorted(claims, key=lambda each: each.host))),)
    led = Led()
    led.lead(shared, tables.get, lambda _: True)
    for number, leads, is_again in steps:
        asker = listener(number % len(listeners))
        before = led.lead(shared, tables.get, lambda _: True)
        if not is_again:
            tables[asker] = table(tables[asker].hostname, leads, tls)
        led.stale.add(shared[0].spot)
        after = led.lead(shared, tables.get, lambda _: True)
        assert after == Led().lead(shared, tables.get, lambda _: True)
        there = {each.host: each for each in before[0].hosts}
        assert all(there.get(each.host) is each for each in after[0].hosts if there.get(each.host) == each)
        assert not is_again or after[0] is before[0]


def test_a_routes_wildcard_has_its_certificate_alone() -> None:
    """Where TLS ends for both, a TLSRoute's wildcard over the same name is not in the list of certificates; where it goes on, both are led."""
    own, theirs = shown_by(make("*.b.x")), shown_by(make("*.b.x"))
    wild = SniHost(".b.x", "be_tcp:team:old", Asker.route("team", "old"), theirs)
    claims = (SniHost(".x", backend_name(listener(0)), listener(0)), wild)
    for tls, hosts in ((own, ["*.x", ".b.x"]), (None, ["*.b.x", "*.x", ".b.x"])):
        tables = {listener(0): table("*.x", {"*.b.x": 0}, tls)}
        (frontend,) = Led().lead((SharedFrontend(443, OPTIONS, claims),), tables.get, lambda _: True)
        assert [each.host for each in frontend.hosts] == hosts
        assert frontend.hosts[-1] == wild
