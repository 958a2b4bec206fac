"""The one map of names that HAProxy looks into leads where the listener first, and the route in it second, would lead."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission.gateway.hosts import ANY, MAX_LABELS, claimed, covers, specificity
from router.admission.gateway.tables import Led, Table
from router.model import Asker, PortOptions, SharedFrontend, SniHost, backend_name
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
    names = [(name, asker) for name, asker in table.leads if go_by(name, host)]
    return backend_name(max(names, key=lambda each: specificity(each[0]))[1] if names else chosen)


@given(st.lists(A_LISTENER, max_size=4, unique_by=lambda each: each[0]))
@settings(max_examples=500)
def test_a_name_leads_to_the_most_specific_listener_and_there_to_the_most_specific_route(
    listeners: list[tuple[str, dict[str, int]]],
) -> None:
    """For all hosts; and again it is the same object."""
    tables = {
        listener(number): Table(
            hostname, tuple(sorted((name, route(each)) for name, each in leads.items() if covers(hostname, name)))
        )
        for number, (hostname, leads) in enumerate(listeners)
    }
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


def test_a_routes_wildcard_has_its_certificate_alone() -> None:
    """Where TLS ends for both, a TLSRoute's wildcard over the same name is not in the list of certificates; where it goes on, both are led."""
    own, theirs = shown_by(make("*.b.x")), shown_by(make("*.b.x"))
    wild = SniHost(".b.x", "be_tcp:team:old", Asker.route("team", "old"), theirs)
    claims = (SniHost(".x", backend_name(listener(0)), listener(0)), wild)
    for ends, hosts in (((own,), ["*.x", ".b.x"]), ((), ["*.b.x", "*.x", ".b.x"])):
        tables = {listener(0): Table("*.x", (("*.b.x", route(0)),), ends)}
        (frontend,) = Led().lead((SharedFrontend(443, OPTIONS, claims),), tables.get, lambda _: True)
        assert [each.host for each in frontend.hosts] == hosts
        assert frontend.hosts[-1] == wild
