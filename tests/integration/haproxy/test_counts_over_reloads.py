"""How often clients connected lately is known to HAProxy's next worker, from HAProxy 3.0 on."""

from __future__ import annotations

import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from router.haproxy.process.binary import find_binary
from router.haproxy.process.process import HaproxyProcess
from router.haproxy.talk import master
from router.model import ConnectionLimit, Model
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings
from tests.support.clients import served
from tests.support.haproxy import write
from tests.support.haproxy_control import DEADLINE_S
from tests.support.models import section, server
from tests.support.ports import free_port
from tests.support.servers import echo_server
from tests.support.waiting import wait_for

_HANDS_ON = find_binary().version >= (3, 0)
_RATE = 3
_WINDOW_S = 3.0


@contextmanager
def _running(directory: Path, limit: ConnectionLimit | None) -> Iterator[tuple[int, RenderSettings]]:
    """Run HAProxy with one Route; give its port."""
    settings, port, at_once = RenderSettings(state_dir=directory), free_port(), threading.Event()
    at_once.set()
    with echo_server() as pod:
        route = section("db", port, server(pod.port), check_interval_ms=0, connection_limit=limit)
        config = write(Renderer(TemplateSet.load(), settings).render(Model((route,))), settings)
        process = HaproxyProcess(
            find_binary(),
            config,
            master_socket=settings.master_socket,
            stats_socket=settings.stats_socket,
            on_line=lambda _: None,
            on_exit=lambda _: None,
        )
        try:
            process.start(DEADLINE_S)
            yield port, settings
        finally:
            process.stop(0.0, at_once)


def _counted(settings: RenderSettings) -> bool:
    """Whether the newest worker knows a client of the Route."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(settings.stats_socket))
        connection.sendall(b"show table be_tcp:team:db\n")
        return "conn_rate" in b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_a_client_does_not_begin_anew_at_a_reload(tmp_path: Path) -> None:
    """One that has used up its rate is still refused by the next worker; with HAProxy 2.8 it has all of it again."""
    with _running(tmp_path, ConnectionLimit(None, _RATE)) as (port, settings):
        for _ in range(20):
            wait_for(lambda: served(port), "room again")
            while served(port):
                pass
            began_s = time.monotonic()
            assert master.reload(settings.master_socket, DEADLINE_S).success
            if _HANDS_ON:
                wait_for(lambda: _counted(settings), "the next worker to know the client")
            got_through = served(port)
            if time.monotonic() - began_s < _WINDOW_S / 2:
                assert got_through is not _HANDS_ON
                return
        pytest.fail("each reload took longer than clients are remembered")


def test_nobody_else_can_hand_counts_on(tmp_path: Path) -> None:
    """Where a Route has limits, the socket can be opened by HAProxy's own user alone; without any there is none, so that HAProxy ends at once."""
    with _running(tmp_path / "limited", ConnectionLimit(None, _RATE)) as (_, settings):
        assert settings.peers_socket.exists() is _HANDS_ON
        if _HANDS_ON:
            assert stat.S_IMODE(settings.peers_socket.stat().st_mode) == 0o600
    with _running(tmp_path / "unlimited", None) as (_, settings):
        assert not settings.peers_socket.exists()
