"""A pod that ends while clients connect to it: what HAProxy tries anew must not lead to a server that is deleted."""

from __future__ import annotations

import contextlib
import socket

from router.haproxy.talk.cli_socket import command
from tests.e2e.conftest import Make
from tests.e2e.test_runtime import reloads
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.servers import TcpServer, echo_server
from tests.support.waiting import wait_for

_CLIENTS = 5


def test_no_server_is_deleted_while_a_connection_that_it_refused_waits(make_router: Make, echo: TcpServer) -> None:
    """HAProxy tries it anew after a second, by what it remembers of the server (HAProxy's issue 3455); the new pod gets it."""
    port = free_port()
    router = make_router()
    ends = echo_server()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", ends.port)))
    with ends:
        router.start()
        router.wait_admitted("team/db")
    stats_socket, backend = router.state / "run" / "haproxy.sock", "be_tcp:team:db"
    former, latter = (f"127.0.0.1:{number}" for number in (ends.port, echo.port))

    def now() -> tuple[int, bool]:
        """Give how many connections are at no server, or at the former one, and whether that is there; both of one moment."""
        answer = command(stats_socket, f"show sess;show servers conn {backend}", 5)
        sessions, _, servers = answer.partition("\n\n")
        mine = [line for line in sessions.splitlines() if f" be={backend} " in line]
        return sum(f":{latter} " not in line for line in mine), former in servers

    before = reloads(router)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(_CLIENTS)]
        wait_for(lambda: now() == (_CLIENTS, True), "the connections to wait")
        router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
        seen = []

        def is_deleted() -> bool:
            seen.append(now())
            return not seen[-1][1]

        wait_for(is_deleted, "the server to be deleted")
        assert seen[-1] == (0, False), seen
        for client in clients:
            client.sendall(b"ping")
            assert client.recv(4) == b"ping"
    assert reloads(router) == before
