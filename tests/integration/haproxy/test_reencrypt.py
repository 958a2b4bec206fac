"""TLS that begins anew towards pods: whom HAProxy leads to, and that servers come and go without a reload."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from router.model import Model, RouteSection, Server
from router.model.tls import ServerTls
from router.plan import Reload, RuntimeUpdate
from tests.support.certificates import Made, make, pem_of, shown_by
from tests.support.clients import reached
from tests.support.models import section, server
from tests.support.ports import free_port, free_ports
from tests.support.runtime import Applying, applying
from tests.support.servers import TcpServer, tls_server
from tests.support.waiting import wait_for

_CA, _OTHER_CA = make("ca", is_authority=True), make("other ca", is_authority=True)
_EDGE = make("db.example.com")
_PORTS = free_ports(2)
_SERVICE = "db.team.svc"


@pytest.fixture
def changed() -> Iterator[Applying]:
    """A HAProxy in a folder whose name needs no quotes, which only a reload can be trusted with."""
    with tempfile.TemporaryDirectory() as folder, applying(Path(folder), "127.0.0.1") as started:
        yield started


@pytest.fixture
def pooled() -> Iterator[Applying]:
    """One with ports of the pool, for some of which TLS can end."""
    pool = ",".join(map(str, _PORTS))
    with tempfile.TemporaryDirectory() as folder, applying(Path(folder), "127.0.0.1", pool, tls_pool=2) as started:
        yield started


@contextmanager
def _pod(made: Made, reply: bytes = b"pod") -> Iterator[TcpServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem_of(made))
        file.flush()
        context.load_cert_chain(file.name)
    with tls_server(context, reply) as pod:
        yield pod


def _section(port: int, tls: ServerTls, *servers: Server, interval_ms: int = 0) -> RouteSection:
    made = section("db", port, *servers, tls=shown_by(_EDGE), check_interval_ms=interval_ms)
    return replace(made, backend=replace(made.backend, tls=tls))


CASES = {
    "its CA": (ServerTls(_CA.pem), make("any", signed_by=_CA), "", True),
    "another CA": (ServerTls(_CA.pem), make("any", signed_by=_OTHER_CA), "", False),
    "nobody's": (ServerTls(_CA.pem), make("any"), "", False),
    "one of two CAs": (ServerTls(_OTHER_CA.pem + _CA.pem), make("any", signed_by=_CA), "", True),
    "its name": (ServerTls(_CA.pem, "pg.example.com"), make("pg.example.com", signed_by=_CA), "", True),
    "another name": (ServerTls(_CA.pem, "pg.example.com"), make("other.example.com", signed_by=_CA), "", False),
    "its Service": (ServerTls(_CA.pem, by_service=True), make(_SERVICE, signed_by=_CA), _SERVICE, True),
    "another Service": (ServerTls(_CA.pem, by_service=True), make("web.team.svc", signed_by=_CA), _SERVICE, False),
    "expired": (ServerTls(_CA.pem), make("any", signed_by=_CA, since_days=9, days=-1), "", False),
}


@pytest.mark.parametrize("checked", [False, True], ids=["unchecked", "checked"])
@pytest.mark.parametrize(("tls", "made", "verify_host", "is_served"), CASES.values(), ids=CASES)
def test_whom_it_leads_to(
    changed: Applying, tls: ServerTls, made: Made, verify_host: str, *, is_served: bool, checked: bool
) -> None:
    """To pods that prove who they are, and to nobody else; so say the checks, also of a server that was added at runtime."""
    with _pod(made) as pod:
        port, interval_ms = free_port(), 100 if checked else 0
        to = structs.replace(server(pod.port), verify_host=verify_host)
        first = _section(port, tls, interval_ms=interval_ms)
        changed.bring(Model((first,)))
        with_pod = replace(first, backend=replace(first.backend, servers=(to,)))
        assert isinstance(changed.bring(Model((with_pod,))), RuntimeUpdate)
        assert (reached(port, None) == b"pod") is is_served
        if checked:
            state = "UP" if is_served else "DOWN"
            wait_for(lambda: _state(changed, to.name).startswith(state), f"the check to find it {state}")
        # As it is after a reload.
        assert changed.applier.apply(changed.renderer, Model((with_pod,)), changed.running)
        assert (reached(port, None) == b"pod") is is_served


@pytest.mark.parametrize("checked", [False, True], ids=["unchecked", "checked"])
@pytest.mark.parametrize(("tls", "made", "verify_host", "is_served"), CASES.values(), ids=CASES)
def test_whom_a_new_one_on_the_pool_leads_to(
    pooled: Applying, tls: ServerTls, made: Made, verify_host: str, *, is_served: bool, checked: bool
) -> None:
    """Without a reload: to the same as after one."""
    with _pod(made) as pod:
        port, interval_ms = _PORTS[0], 100 if checked else 0
        to = structs.replace(server(pod.port), verify_host=verify_host)
        model = Model((_section(port, tls, to, interval_ms=interval_ms),))
        pooled.bring(Model())
        assert isinstance(pooled.bring(model), RuntimeUpdate)
        assert (reached(port, None) == b"pod") is is_served
        if checked:
            state = "UP" if is_served else "DOWN"
            wait_for(lambda: _state(pooled, to.name).startswith(state), f"the check to find it {state}")
        assert pooled.applier.apply(pooled.renderer, model, pooled.running)
        assert (reached(port, None) == b"pod") is is_served


def test_a_large_bundle_of_a_new_one_on_the_pool(pooled: Applying) -> None:
    """As many authorities as a Route may have."""
    others = "".join(make(f"ca {number}", is_authority=True).pem for number in range(60))
    with _pod(make("any", signed_by=_CA)) as pod:
        pooled.bring(Model())
        bundle = ServerTls(others + _CA.pem)
        assert 30_000 < len(bundle.authorities) < 48 * 1024
        assert isinstance(pooled.bring(Model((_section(_PORTS[0], bundle, server(pod.port)),))), RuntimeUpdate)
        assert reached(_PORTS[0], None) == b"pod"


def test_one_on_the_pool_goes_comes_back_and_changes(pooled: Applying) -> None:
    """Its pods take turns, it goes and comes with the same authorities, and with others; TLS goes on to the pods or ends."""
    with _pod(make("any", signed_by=_CA), b"one") as one, _pod(make("any", signed_by=_OTHER_CA), b"two") as two:
        port = _PORTS[0]
        pooled.bring(Model())
        to_one, to_two = _section(port, ServerTls(_CA.pem), server(one.port)), server(two.port)
        for _ in range(2):
            assert isinstance(pooled.bring(Model((to_one,))), RuntimeUpdate)
            assert reached(port, None) == b"one"
            with_two = replace(to_one, backend=replace(to_one.backend, servers=(to_two,)))
            assert isinstance(pooled.bring(Model((with_two,))), RuntimeUpdate)
            assert not reached(port, None)
            assert isinstance(pooled.bring(Model((to_one,))), RuntimeUpdate)
            assert isinstance(pooled.bring(Model()), RuntimeUpdate)
            pooled.running = pooled.applier.delete_leaving(pooled.running) if pooled.running else None
        assert isinstance(pooled.bring(Model((_section(port, ServerTls(_OTHER_CA.pem), to_two),))), RuntimeUpdate)
        assert reached(port, None) == b"two"
        assert isinstance(pooled.bring(Model((to_one,))), Reload)
        assert reached(port, None) == b"one"


def test_authorities_are_told_until_a_reload_within_bounds(pooled: Applying) -> None:
    """HAProxy keeps each file until then, and a team could have it told of ever more."""
    pooled.bring(Model())
    plans = []
    for number in range(70):
        plans.append(pooled.bring(Model((_section(_PORTS[0], ServerTls(_CA.pem + f"# {number}\n")),))))
        pooled.bring(Model())
        assert pooled.running is not None
        assert len(pooled.running.more_authorities) <= 64
        if isinstance(plans[-1], Reload):
            break
    assert [type(each) for each in plans] == [RuntimeUpdate] * 64 + [Reload]


def test_a_template_that_leaves_out_tls_is_not_trusted(tmp_path: Path) -> None:
    """No place of the pool leads on in plain text what was encrypted for a Route."""
    own = (Path(__file__).parents[3] / "templates" / "route.cfg.j2").read_text()
    (tmp_path / "route.cfg.j2").write_text(
        own.replace("backend.tls is not none", "backend.tls is not none and route.route and frontend_name")
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        applying(Path(folder), "127.0.0.1", str(_PORTS[0]), templates=tmp_path, tls_pool=1) as started,
        _pod(make("any", signed_by=_CA)) as pod,
    ):
        started.bring(Model())
        assert isinstance(started.bring(Model((_section(_PORTS[0], ServerTls(_CA.pem), server(pod.port)),))), Reload)
        assert reached(_PORTS[0], None) == b"pod"


def _state(changed: Applying, name: str) -> str:
    lines = [line.split(",") for line in changed.ask("show stat -1 4 -1").splitlines()]
    (state,) = [line[17] for line in lines if len(line) > 17 and line[1] == name]
    return state


def test_pods_take_turns_without_a_reload(changed: Applying) -> None:
    """One comes, another goes: neither needs more than commands."""
    with _pod(make("any", signed_by=_CA), b"one") as one, _pod(make("any", signed_by=_CA), b"two") as two:
        port = free_port()
        changed.bring(Model((_section(port, ServerTls(_CA.pem), server(one.port)),)))
        assert reached(port, None) == b"one"
        todo = changed.bring(Model((_section(port, ServerTls(_CA.pem), server(two.port)),)))
        assert isinstance(todo, RuntimeUpdate)
        assert reached(port, None) == b"two"


def test_another_authority_holds_for_the_next_connection(changed: Applying) -> None:
    """It is a reload, which keeps no session of before."""
    with _pod(make("any", signed_by=_CA)) as pod:
        port = free_port()
        changed.bring(Model((_section(port, ServerTls(_CA.pem), server(pod.port)),)))
        assert reached(port, None) == b"pod"
        changed.bring(Model((_section(port, ServerTls(_OTHER_CA.pem), server(pod.port)),)))
        assert not reached(port, None)
