"""Clients of the port at which TLS ends, through reloads: none fails, however slow it is."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from router.model import Model, SharedFrontend, SniHost, Spot
from router.reconcile.apply import Applied
from tests.support.certificates import client_context, make, shown_by
from tests.support.clients import connect, echoes
from tests.support.models import port_options, section, server
from tests.support.ports import free_port
from tests.support.runtime import applying
from tests.support.servers import echo_server
from tests.support.waiting import wait_for

_CLIENTS, _RELOADS = 16, 15


def _all_served_since(clients: Sequence[Future[None]], done: Sequence[int], before: Sequence[int]) -> bool:
    return any(each.done() for each in clients) or all(now > then for now, then in zip(done, before, strict=True))


@pytest.mark.timeout(120)
def test_no_client_fails() -> None:
    """Neither one that connects meanwhile, nor one that was connected to a worker replaced since, and says its name now."""
    port = free_port()
    with echo_server() as pod, tempfile.TemporaryDirectory() as folder, applying(Path(folder), "127.0.0.1") as changed:
        route = section("a", None, server(pod.port), check_interval_ms=0, stages=(Spot(port),))
        lead = SniHost("a.example.com", route.backend.name, route.asker, shown_by(make("a.example.com")))
        model = Model((route,), (SharedFrontend(port, port_options(), (lead,)),))
        changed.bring(model)
        turn, ending = threading.Condition(), threading.Event()
        reloads, done = 0, [0] * _CLIENTS

        def client(number: int) -> None:
            """Connect; each second time wait with the name until HAProxy was reloaded."""
            while not ending.is_set():
                with connect(port) as plain:
                    if done[number] % 2:
                        with turn:
                            turn.wait_for(lambda before=reloads: reloads > before or ending.is_set())  # type: ignore[misc]
                    with client_context().wrap_socket(plain, server_hostname="a.example.com") as connection:
                        assert echoes(connection)
                done[number] += 1

        with ThreadPoolExecutor(_CLIENTS) as pool:
            clients = [pool.submit(client, number) for number in range(_CLIENTS)]
            try:
                for _ in range(_RELOADS):
                    before = tuple(done)
                    # Another option, so that it is a new configuration each time.
                    route = replace(
                        route, backend=replace(route.backend, timeout_connect_ms=route.backend.timeout_connect_ms + 1)
                    )
                    result = changed.applier.apply(changed.renderer, replace(model, routes=(route,)), changed.running)
                    assert isinstance(result, Applied), result
                    changed.running = result.running
                    with turn:
                        reloads += 1
                        turn.notify_all()
                    wait_for(partial(_all_served_since, clients, done, before), "each client to have been served again")
            finally:
                ending.set()
                with turn:
                    turn.notify_all()
            for each in clients:
                each.result()
        assert min(done) >= _RELOADS
