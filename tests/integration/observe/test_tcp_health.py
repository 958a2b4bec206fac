"""The port for load balancers that can only check TCP, with real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from router.observe.tcp_health import TcpHealth
from router.settings import IpMode
from tests.support.clients import connect, ended
from tests.support.ports import free_port
from tests.support.waiting import wait_for


class Switch:
    """Readiness at the test's wish."""

    def __init__(self) -> None:
        self.on = False

    def __call__(self) -> bool:
        """Give it."""
        return self.on


@pytest.fixture
def switch() -> Switch:
    """Off."""
    return Switch()


Make = Callable[..., int]


@pytest.fixture
def make(switch: Switch) -> Iterator[Make]:
    """Make health ports that follow the switch."""
    made: list[TcpHealth] = []

    def make(*addresses: str, ip_mode: IpMode = "v4", port: int | None = None) -> int:
        port = port or free_port()
        made.append(TcpHealth(port, ip_mode, addresses, switch))
        made[-1].start()
        return port

    yield make
    for each in made:
        each.stop()


def is_open(port: int, to: str = "127.0.0.1") -> bool:
    """Whether a connection can be made, and is closed without a byte."""
    try:
        with connect(port, to=to) as connection:
            return ended(connection)
    except ConnectionRefusedError:
        return False


def test_follows_readiness(make: Make, switch: Switch) -> None:
    """Open and closed as often as readiness comes and goes."""
    port = make("127.0.0.1")
    assert not is_open(port)
    for _ in range(3):
        switch.on = True
        wait_for(lambda: is_open(port), "the port to open")
        switch.on = False
        wait_for(lambda: not is_open(port), "the port to close")


@pytest.mark.parametrize(
    ("ip_mode", "addresses", "reached", "refused"),
    [
        pytest.param("v4", (), ("127.0.0.1", "127.0.0.2"), ("::1",), id="IPv4"),
        pytest.param("v6", (), ("::1",), ("127.0.0.1",), id="IPv6"),
        pytest.param("v4v6", (), ("127.0.0.1", "::1"), (), id="both"),
        pytest.param("v4v6", ("127.0.0.2", "::1"), ("127.0.0.2", "::1"), ("127.0.0.1",), id="named"),
    ],
)
def test_listens_where_haproxy_does(
    make: Make,
    switch: Switch,
    ip_mode: IpMode,
    addresses: tuple[str, ...],
    reached: tuple[str, ...],
    refused: tuple[str, ...],
) -> None:
    """On the addresses of the frontends, so that the check goes the way that traffic goes."""
    port = make(*addresses, ip_mode=ip_mode)
    switch.on = True
    for address in reached:
        wait_for(lambda a=address: is_open(port, a), f"{address} to be open")  # type: ignore[misc]
    assert not any(is_open(port, address) for address in refused)


def test_a_port_of_somebody_else_is_taken_when_it_is_free(make: Make, switch: Switch) -> None:
    """It is tried again, and the router is none the worse for it."""
    switch.on = True
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = make("127.0.0.1", port=other.getsockname()[1])
    wait_for(lambda: is_open(port), "the port to open")


def test_many_checks_at_once(make: Make, switch: Switch) -> None:
    """All of them are accepted and closed."""
    port = make("127.0.0.1")
    switch.on = True
    wait_for(lambda: is_open(port), "the port to open")
    connections = [connect(port) for _ in range(50)]
    try:
        assert all(map(ended, connections))
    finally:
        for connection in connections:
            connection.close()


def test_stop_closes_it(switch: Switch) -> None:
    """Nobody listens when ``stop`` has returned."""
    port = free_port()
    health = TcpHealth(port, "v4", ("127.0.0.1",), switch)
    switch.on = True
    health.start()
    wait_for(lambda: is_open(port), "the port to open")
    health.stop()
    assert not is_open(port)
