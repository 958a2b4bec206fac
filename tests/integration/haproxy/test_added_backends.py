"""Backends that a HAProxy adds and deletes while it runs: what clients get, and what is left of them. HAProxy before 3.4 adds none."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.haproxy.process.binary import find_binary
from router.haproxy.talk import runtime
from router.haproxy.talk.cli_socket import command
from router.model import Model, RouteSection
from router.plan import Reload, RuntimeUpdate, commands
from tests.support.clients import connect, echoes, ended, served
from tests.support.models import section, server, shared
from tests.support.ports import free_ports
from tests.support.probing import is_refused
from tests.support.runtime import Applying, applying
from tests.support.servers import TcpServer, echo_server
from tests.support.waiting import wait_for

_ADDS = find_binary().adds_backends
_PORTS = free_ports(3)
_PORT, _OTHER, _SNI_PORT = _PORTS
_SHARED = shared(_SNI_PORT, {})


@pytest.fixture
def changed() -> Iterator[Applying]:
    """A HAProxy with two ports of the pool and a shared one; nothing is served yet."""
    with (
        tempfile.TemporaryDirectory(prefix="a b") as folder,
        applying(Path(folder), "127.0.0.1", f"{_PORT},{_OTHER}") as started,
    ):
        assert isinstance(started.bring(Model((), (_SHARED,))), Reload)
        yield started


@pytest.fixture
def pod() -> Iterator[TcpServer]:
    """A pod that echoes."""
    with echo_server() as started:
        yield started


def _route(name: str, port: int | None, pod: TcpServer, **options: object) -> RouteSection:
    return section(name, port, server(pod.port), check_interval_ms=0, **options)  # type: ignore[arg-type]  # passed on


def _backends(changed: Applying) -> set[str]:
    said = changed.ask("show stat -1 2 -1").splitlines()[1:]
    return {name for line in said if (name := line.partition(",")[0]).startswith("be_tcp:")}


def _delete(changed: Applying) -> None:
    assert changed.running is not None
    for _ in range(2):
        changed.running = changed.applier.delete_leaving(changed.running)


def _is_without(changed: Applying) -> bool:
    """Delete what can be; say whether there is no backend of a Route left."""
    _delete(changed)
    return not _backends(changed)


def test_whether_the_worker_adds_backends_is_asked_of_it(changed: Applying) -> None:
    """And it says what its version lets expect."""
    assert changed.running is not None
    assert bool(changed.running.bases) is _ADDS


def test_a_route_on_a_port_of_the_pool_balanced_otherwise(changed: Applying, pod: TcpServer) -> None:
    """Who is connected stays so when it goes; its port is refused, and another Route's next."""
    todo = changed.bring(Model((_route("web", _PORT, pod, balance="source"),), (_SHARED,)))
    assert isinstance(todo, RuntimeUpdate if _ADDS else Reload)
    assert served(_PORT)
    assert is_refused(_OTHER)
    with connect(_PORT) as held:
        assert echoes(held)
        changed.bring(Model((), (_SHARED,)))
        assert is_refused(_PORT)
        todo = changed.bring(Model((_route("other", _PORT, pod),), (_SHARED,)))
        assert isinstance(todo, RuntimeUpdate if _ADDS else Reload)
        assert served(_PORT)
        assert echoes(held)


def test_a_second_change_is_a_reload(changed: Applying, pod: TcpServer) -> None:
    """HAProxy has a backend of that name already; who is connected stays so."""
    changed.bring(Model((_route("web", _PORT, pod, balance="source"),), (_SHARED,)))
    with connect(_PORT) as held:
        assert echoes(held)
        for options in ({"balance": "random"}, {"balance": "leastconn"}):
            assert isinstance(changed.bring(Model((_route("web", _PORT, pod, **options),), (_SHARED,))), Reload)
            assert served(_PORT)
            assert echoes(held)


def test_one_of_the_pool_comes_to_be_balanced_otherwise(changed: Applying, pod: TcpServer) -> None:
    """Its port is open all the while, and who is connected stays so."""
    changed.bring(Model((_route("web", _PORT, pod),), (_SHARED,)))
    with connect(_PORT) as held:
        assert echoes(held)
        todo = changed.bring(Model((_route("web", _PORT, pod, balance="first"),), (_SHARED,)))
        assert isinstance(todo, RuntimeUpdate if _ADDS else Reload)
        assert served(_PORT)
        assert echoes(held)
        _delete(changed)
        assert served(_PORT)
        assert echoes(held)
    changed.bring(Model((), (_SHARED,)))
    assert is_refused(_PORT)


def test_what_is_left_is_deleted_when_nobody_is_connected_any_more(changed: Applying, pod: TcpServer) -> None:
    """Not before; and it comes again under its name."""
    model = Model((_route("web", _PORT, pod, balance="source"),), (_SHARED,))
    changed.bring(model)
    assert _backends(changed) == {"be_tcp:team:web"}
    with connect(_PORT) as held:
        assert echoes(held)
        changed.bring(Model((), (_SHARED,)))
        _delete(changed)
        assert _backends(changed) == {"be_tcp:team:web"}
        assert echoes(held)
    if not _ADDS:
        return
    wait_for(lambda: _is_without(changed), "it to be deleted")
    assert changed.running is not None
    running = changed.running
    assert (dict(running.added), running.left, running.closed) == ({}, frozenset(), frozenset())
    assert isinstance(changed.bring(model), RuntimeUpdate)
    assert served(_PORT)


def test_many_come_and_go(changed: Applying, pod: TcpServer) -> None:
    """After a thousand changes HAProxy has the sections that it had, whatever these asked for, and refused none."""
    loads = sum(isinstance(todo, Reload) for todo in changed.plans)
    before = changed.ask("show backend")
    rounds = 250 if _ADDS else 2
    for number in range(rounds):
        balance = ("source", "random", "first", "roundrobin")[number % 4]
        one = _route(f"r{number}", None, pod, balance=balance)
        two = _route(f"p{number}", _PORT, pod, balance=balance)
        changed.bring(Model(tuple(sorted((one, two), key=lambda each: each.asker)), (shared(_SNI_PORT, {"x": one}),)))
        assert served(_PORT)
        changed.bring(Model((), (_SHARED,)))
        _delete(changed)
    if _ADDS:
        wait_for(lambda: _is_without(changed), "all to be deleted")
        assert changed.ask("show backend") == before
        assert sum(isinstance(todo, Reload) for todo in changed.plans) == loads
        assert changed.running is not None
        assert (dict(changed.running.added), changed.running.left) == ({}, frozenset())


def test_limits_hold_in_a_backend_that_is_added(changed: Applying, pod: TcpServer) -> None:
    """The rules that all Routes have are those of its base too: whose it is, the namespace's limit is asked by its own name."""
    model = Model((_route("web", _PORT, pod, balance="source"),), (_SHARED,), namespace_limits=(("team", 1),))
    changed.bring(model)
    with connect(_PORT) as first:
        assert echoes(first)
        with connect(_PORT) as second:
            assert ended(second)
    wait_for(lambda: served(_PORT), "the first to have gone")


_WAITING = """\
global
  stats socket {folder}/stats.sock mode 600 level admin
defaults common
  mode tcp
  timeout connect 1s
  timeout client 1m
  timeout server 1m
defaults waiting from common
  tcp-request inspect-delay 1m
  tcp-request content accept if WAIT_END
frontend some from common
  bind 127.0.0.1:{port}
  use_backend %[str(held)]
"""


@pytest.mark.skipif(not _ADDS, reason="this HAProxy deletes no backends")
def test_haproxy_says_why_it_keeps_one_in_which_a_client_is() -> None:
    """Although there is no server in it; and deletes it when the client has gone."""
    with tempfile.TemporaryDirectory() as folder:
        socket, config = Path(folder, "stats.sock"), Path(folder, "haproxy.cfg")
        config.write_text(_WAITING.format(folder=folder, port=_PORT))
        with subprocess.Popen([find_binary().path, "-db", "-f", config], stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(socket.exists, "HAProxy to listen", 60.0)
                made = [commands.add_backend("held", "waiting"), commands.publish_backend("held")]
                runtime.run(socket, made, 5.0)
                with connect(_PORT):
                    wait_for(lambda: "be=held" in command(socket, "show sess", 5.0), "the client to be in it")
                    refused = runtime.delete_backends(socket, ("held", "none"), 5.0)
                    assert refused == {"held": "Backend still has attached streams on it."}
                wait_for(lambda: not runtime.delete_backends(socket, ("held",), 5.0), "it to be deleted")
                assert "held" not in command(socket, "show backend", 5.0).split()
            finally:
                process.kill()
