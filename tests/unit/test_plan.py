"""The plan: every cause of a reload, and that there is one exactly when the models differ."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model import Backend, Frontend, Model, PortOptions, RouteSection, Server, SharedFrontend, SniHost
from router.plan import NoChange, Reload, ReloadCause, ReloadReason, plan

_OPTIONS = PortOptions(timeout_client_ms=30_000, maxconn=None, tcp_keepalive=True, accept_proxy=False)
_SERVER = Server("pod:a", "10.0.0.1", 5432, 100)


def _backend(name: str, servers: tuple[Server, ...] = (_SERVER,)) -> Backend:
    return Backend(
        name=name,
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
        servers=servers,
    )


def _section(route: str, port: int | None = 6620) -> RouteSection:
    frontend = Frontend(port, _OPTIONS) if port is not None else None
    return RouteSection("team", route, _backend(f"be_tcp:team:{route}"), frontend)


_WEB = _section("web")
_HOST = SniHost("db.example.com", "be_tcp:team:web", "team", "web")
_SHARED = SharedFrontend(8443, _OPTIONS, (_HOST,))
_APPLIED = Model((_WEB,), (_SHARED,))


@pytest.mark.parametrize(
    ("desired", "reasons"),
    [
        pytest.param(
            replace(_APPLIED, routes=(_section("api", 6621), _WEB)),
            (ReloadReason(ReloadCause.ROUTE_ADDED, "team/api"),),
            id="route added",
        ),
        pytest.param(
            replace(_APPLIED, routes=()), (ReloadReason(ReloadCause.ROUTE_REMOVED, "team/web"),), id="route removed"
        ),
        pytest.param(
            replace(_APPLIED, routes=(_section("web", 6621),)),
            (ReloadReason(ReloadCause.PORT_CHANGED, "team/web"),),
            id="port of a route changed",
        ),
        pytest.param(
            replace(_APPLIED, routes=(_section("web", None),)),
            (ReloadReason(ReloadCause.PORT_CHANGED, "team/web"),),
            id="port of a route given up",
        ),
        pytest.param(
            replace(_APPLIED, routes=(replace(_WEB, frontend=Frontend(6620, replace(_OPTIONS, maxconn=5))),)),
            (ReloadReason(ReloadCause.OPTIONS_CHANGED, "team/web"),),
            id="options of a port changed",
        ),
        pytest.param(
            replace(_APPLIED, routes=(replace(_WEB, backend=replace(_WEB.backend, balance="source")),)),
            (ReloadReason(ReloadCause.OPTIONS_CHANGED, "team/web"),),
            id="options of a backend changed",
        ),
        pytest.param(
            replace(_APPLIED, routes=(replace(_WEB, backend=_backend(_WEB.backend.name, ())),)),
            (ReloadReason(ReloadCause.SERVERS_CHANGED, "team/web"),),
            id="servers changed",
        ),
        pytest.param(
            replace(_APPLIED, shared=(replace(_SHARED, hosts=()),)),
            (ReloadReason(ReloadCause.HOSTS_CHANGED, "8443"),),
            id="hosts of a shared port changed",
        ),
        pytest.param(
            replace(_APPLIED, shared=(replace(_SHARED, options=replace(_OPTIONS, accept_proxy=True)),)),
            (ReloadReason(ReloadCause.OPTIONS_CHANGED, "8443"),),
            id="options of a shared port changed",
        ),
        pytest.param(
            replace(_APPLIED, shared=(replace(_SHARED, port=9443),)),
            (ReloadReason(ReloadCause.PORT_CHANGED, "8443"), ReloadReason(ReloadCause.PORT_CHANGED, "9443")),
            id="shared port moved",
        ),
    ],
)
def test_reasons(desired: Model, reasons: tuple[ReloadReason, ...]) -> None:
    """Each kind of difference gives its own reason, and nothing else gives one."""
    assert plan(_APPLIED, desired) == Reload(reasons)


def test_unknown_state_is_a_start() -> None:
    """Where nothing is known of HAProxy, the whole configuration is needed, even an empty one."""
    assert plan(None, Model()) == Reload((ReloadReason(ReloadCause.START),))


def test_reason_as_text() -> None:
    """A reason reads as cause and subject, or as the cause alone."""
    reasons = ReloadReason(ReloadCause.ROUTE_ADDED, "team/web"), ReloadReason(ReloadCause.START)
    assert [str(reason) for reason in reasons] == ["route-added team/web", "start"]


_servers = st.lists(
    st.builds(
        Server, st.sampled_from(("s1", "s2")), st.just("10.0.0.1"), st.sampled_from((1, 2)), st.sampled_from((0, 1))
    ),
    max_size=2,
    unique_by=lambda server: server.name,
).map(lambda servers: tuple(sorted(servers)))
_options = st.builds(replace, st.just(_OPTIONS), maxconn=st.sampled_from((None, 5)))
_frontends = st.none() | st.builds(Frontend, st.sampled_from((6620, 6621)), _options)
_backends = st.builds(
    lambda servers, check_ms: replace(_backend("be"), servers=servers, check_interval_ms=check_ms),
    _servers,
    st.sampled_from((0, 5_000)),
)
_sections = st.lists(
    st.builds(RouteSection, st.sampled_from(("a", "b")), st.sampled_from(("x", "y")), _backends, _frontends),
    max_size=3,
    unique_by=lambda section: (section.namespace, section.route),
).map(lambda sections: tuple(sorted(sections, key=lambda section: (section.namespace, section.route))))
_hosts = st.lists(
    st.builds(SniHost, st.sampled_from(("h1", "h2")), st.sampled_from(("b1", "b2")), st.just("a"), st.just("x")),
    max_size=2,
    unique_by=lambda host: host.host,
).map(lambda hosts: tuple(sorted(hosts)))
_shared = st.lists(
    st.builds(SharedFrontend, st.sampled_from((8443, 9443)), _options, _hosts),
    max_size=2,
    unique_by=lambda shared: shared.port,
).map(lambda shared: tuple(sorted(shared, key=lambda one: one.port)))
_models = st.builds(Model, _sections, _shared)


@given(_models, _models)
def test_reload_exactly_when_different(applied: Model, desired: Model) -> None:
    """Equal models need nothing; others need a reload, for at least one reason, sorted and none twice."""
    todo = plan(applied, desired)
    if applied == desired:
        assert todo == NoChange()
    else:
        assert isinstance(todo, Reload)
        assert todo.reasons
        assert list(todo.reasons) == sorted(set(todo.reasons))


@given(_models)
def test_nothing_to_do_for_the_same(model: Model) -> None:
    """A model planned against itself needs nothing."""
    assert plan(model, model) == NoChange()
