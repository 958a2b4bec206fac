"""What a HAProxy has after any sequence of changes equals what one has that was started on the last of them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from router.model import Asker, Model, RouteSection, SharedFrontend, SniHost, Spot
from router.model.tls import PortTls
from tests.support.certificates import make, shown_by
from tests.support.client_certificates import authority, revoke, verified_by
from tests.support.models import port_options
from tests.support.ports import free_ports
from tests.support.random_sections import CERTIFICATES, RandomSections
from tests.support.runtime import applying, differences, said

_POOL = 3
_PORTS = free_ports(_POOL + 3)
"""The first are the pool's; the last is the SNI port."""
_SNI_PORT = _PORTS[-1]
_ROUTES = ("a", "b", "c", "d")
_CA, _OTHER_CA, _REVOKED = authority("clients"), authority("others"), make("bob")
_CLIENTS = (
    None,
    None,
    verified_by(_CA),
    verified_by(_CA, _OTHER_CA),
    verified_by(_CA, required=False),
    replace(verified_by(_CA, required=False), tells_apart=True),
    replace(verified_by(_CA, _OTHER_CA, required=False), tells_apart=True),
    verified_by(_CA, revoked=revoke(_CA)),
    verified_by(_CA, revoked=revoke(_CA, _REVOKED)),
)
_PHASES = (Phase.explicit, Phase.generate)
"""Each step starts a HAProxy: to make a counterexample smaller would take minutes."""

_SECTIONS = RandomSections(
    addresses=("127.0.0.1", "127.0.0.9", "::1"),
    ports=(7001, 7002),
    weights=(0, 1, 256),
    checks=(True,),
    other_ids=(1, 2, 1_048_575),
)


@st.composite
def _model(draw: st.DrawFn) -> Model:
    free = list(_PORTS[:-1])
    sections, hosts = [], []
    for name in draw(st.lists(st.sampled_from(_ROUTES), unique=True)):
        port = draw(st.sampled_from((None, *free)))
        if port is not None:
            free.remove(port)
        sections.append(draw(_SECTIONS.one(name, port)))
        if draw(st.integers(1, 4)) == 1:
            backend = replace(sections[-1].backend, timeout_tunnel_ms=60_000, tcp_keepalive=False)
            sections[-1] = replace(sections[-1], backend=backend)
        # Who has a port of his own may have hosts here too, but not such whose TLS ends here.
        ending = draw(st.sampled_from((None, None, *map(shown_by, CERTIFICATES)))) if port is None else None
        ending = replace(ending, clients=draw(st.sampled_from(_CLIENTS))) if ending is not None else None
        sections[-1] = _told(sections[-1], ending)
        if ending is not None and ending.clients is None and draw(st.booleans()):
            ending = replace(ending, starttls="postgres")
        is_staged = ending is not None and ending.clients is None
        if is_staged:
            sections[-1] = replace(sections[-1], stages=(Spot(_SNI_PORT),))
        sections[-1] = _asking(draw, sections[-1])
        for host in draw(st.lists(st.sampled_from(("x", "y", ".z")), unique=True, max_size=2)):
            full = f"{name}{host}" if host != ".z" else f".{name}.z"
            hosts.append(SniHost(full, f"be_tcp:team:{name}", Asker.route("team", name), ending))
    sorted_hosts = tuple(sorted(hosts, key=lambda each: each.host))
    shared = SharedFrontend(_SNI_PORT, port_options(), sorted_hosts, spare_gates=2)
    limits = draw(st.dictionaries(st.sampled_from(("team", "other")), st.sampled_from((0, 1, 7)), max_size=2))
    routes = tuple(sorted(sections, key=lambda each: each.route))
    return Model(routes, (shared,), namespace_limits=tuple(sorted(limits.items())))


def _asking(draw: st.DrawFn, section: RouteSection) -> RouteSection:
    """Give a section whose clients are asked for certificates, may ask in plain text to begin TLS, or neither, if its port ends TLS."""
    frontend = section.frontend
    if frontend is None or frontend.tls is None:
        return section
    tls = replace(frontend.tls, clients=draw(st.sampled_from(_CLIENTS)))
    if tls.clients is None and draw(st.booleans()):
        asked = replace(frontend, tls=replace(tls, starttls="postgres"))
        return replace(section, frontend=asked, stages=(frontend.spot,))
    return _told(replace(section, frontend=replace(frontend, tls=tls)), tls)


def _told(section: RouteSection, tls: PortTls | None) -> RouteSection:
    """Give a section whose pods are told who its clients are, where that is asked for."""
    if tls is None or tls.clients is None or not tls.clients.tells_apart:
        return section
    return replace(section, backend=replace(section.backend, send_proxy="v2-ssl-shown"))


@pytest.mark.timeout(500)
@settings(
    max_examples=18,
    derandomize=True,
    phases=_PHASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(_model(), min_size=2, max_size=7))
def test_state_equals_that_of_a_fresh_haproxy(models: list[Model]) -> None:
    """Servers, ids, addresses, weights, limits, open ports, hosts and allowlists are the same, whichever way led there."""
    with tempfile.TemporaryDirectory() as directory:
        pool = ",".join(str(port) for port in _PORTS[:_POOL])
        with applying(Path(directory) / "some-way", "127.0.0.1", pool, sni_pool=2, tls_pool=2) as changed:
            for model in models:
                changed.bring(model)
                state = changed.state()
                assert not changed.without_use()
                with applying(Path(directory) / "fresh", "127.0.0.2", pool, sni_pool=2, tls_pool=2) as fresh:
                    fresh.bring(model)
                    assert not (different := differences(state, fresh.state())), (
                        f"{different} after {said(changed.plans)}"
                    )
                changed.running = changed.applier.delete_leaving(changed.running) if changed.running else None
