"""Ports that can and cannot be bound, as the kernel tells."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from router.errors import HaproxyError
from router.haproxy.process.ports import Obstacle, PortProblem, less_shared, probe
from router.settings import IpMode
from tests.support.ports import free_port


def _listener(address: str, *, reuse_port: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    # Free on every address of either family: chance would now and then give one that another socket has on the other.
    listener.bind((address, free_port()))
    listener.listen()
    return listener


@pytest.mark.parametrize(
    ("listens_on", "ip_mode", "bind_addresses", "is_taken"),
    [
        pytest.param("127.0.0.1", "v4", (), True, id="all of v4 over one of v4"),
        pytest.param("127.0.0.1", "v4v6", (), True, id="both over one of v4"),
        pytest.param("127.0.0.1", "v6", (), False, id="v6 alone beside v4"),
        pytest.param("::1", "v6", (), True, id="all of v6 over one of v6"),
        pytest.param("::1", "v4v6", (), True, id="both over one of v6"),
        pytest.param("::1", "v4", (), False, id="v4 beside v6"),
        pytest.param("0.0.0.0", "v4v6", ("127.0.0.1",), True, id="one address under all of v4"),  # noqa: S104 - for an instant
        pytest.param("127.0.0.1", "v4v6", ("127.0.0.2",), False, id="another address"),
        pytest.param("127.0.0.1", "v4v6", ("127.0.0.2", "127.0.0.1"), True, id="the second address"),
        pytest.param("127.0.0.1", "v4v6", ("::1",), False, id="named v6 is v6 alone"),
        pytest.param("127.0.0.1", "v4v6", ("::",), False, id="named :: is v6 alone"),
    ],
)
@pytest.mark.parametrize("reuse_port", [pytest.param(False, id="plain"), pytest.param(True, id="SO_REUSEPORT")])
def test_a_listener_is_seen_where_it_is_in_the_way(
    listens_on: str, ip_mode: IpMode, bind_addresses: tuple[str, ...], *, is_taken: bool, reuse_port: bool
) -> None:
    """A listener takes the port from whoever overlaps with its address, also one that would share it with HAProxy."""
    with _listener(listens_on, reuse_port=reuse_port) as listener:
        port = listener.getsockname()[1]
        problems = probe([port], ip_mode, bind_addresses)
        assert {each: problem.obstacle for each, problem in problems.items()} == (
            {port: Obstacle.IN_USE} if is_taken else {}
        )


@pytest.mark.parametrize("ip_mode", ["v4", "v6", "v4v6"])
def test_a_free_port_stays_free(ip_mode: IpMode) -> None:
    """Probing leaves nothing behind: the port can be probed, and then listened on."""
    port = free_port()
    assert probe([port], ip_mode) == {}
    assert probe([port], ip_mode) == {}
    with socket.create_server(("127.0.0.1", port)):
        assert {each: problem.text for each, problem in probe([port], "v4").items()} == {
            port: "another process uses it"
        }


def test_an_open_connection_is_no_obstacle() -> None:
    """The connections that a replaced worker still has do not keep its port, nor do those that have just ended."""
    with _listener("127.0.0.1") as listener:
        address = listener.getsockname()
        client = socket.create_connection(address)
        server, _ = listener.accept()
    with client, server:
        assert probe([address[1]], "v4v6") == {}
        server.close()  # the first to close keeps TIME_WAIT
        client.close()
        assert probe([address[1]], "v4v6") == {}


def test_an_address_that_the_host_lacks_is_named() -> None:
    """Another host's address is not taken for a port in use."""
    (problem,) = probe([free_port()], "v4", ("192.0.2.1",)).values()
    assert (problem.obstacle, problem.text) == (Obstacle.NO_SUCH_ADDRESS, "the host has no address 192.0.2.1")


@pytest.fixture
def without_rights() -> Iterator[None]:
    """Let the test have no more rights than any user."""
    if Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii").strip() in {"0", "1"}:
        pytest.skip("every user may bind every port here")
    effective = os.geteuid()
    if effective == 0:
        os.seteuid(65534)
    yield
    os.seteuid(effective)


@pytest.mark.usefixtures("without_rights")
def test_a_port_that_needs_a_right_is_told_from_one_in_use() -> None:
    """A privileged port names the capability, and is of a kind of its own."""
    (problem,) = probe([1], "v4").values()
    assert problem.obstacle is Obstacle.NOT_PERMITTED
    assert "NET_BIND_SERVICE" in problem.text


@pytest.fixture
def no_descriptors_left() -> Iterator[None]:
    """Let every new file descriptor be refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("no_descriptors_left")
def test_our_own_lack_of_descriptors_is_no_ports_fault() -> None:
    """What the router lacks is an error of the router; no Route is blamed for it."""
    with pytest.raises(HaproxyError, match="Too many open files"):
        probe([1234], "v4")


def test_a_thousand_ports_take_no_time() -> None:
    """Probing is cheap enough to come before every reload."""
    began_s = time.monotonic()
    probe(range(40000, 41000), "v4v6")
    assert time.monotonic() - began_s < 0.5


class Believed:
    """Other generations, whose the given ports are."""

    are_there = True

    def __init__(self, *ports: int) -> None:
        self._ports = frozenset(ports)
        self.asked: list[tuple[frozenset[int], tuple[str, ...]]] = []

    def shared(self, ports: Collection[int], hosts: Collection[str]) -> frozenset[int]:
        """Say so."""
        self.asked.append((frozenset(ports), tuple(hosts)))
        return self._ports & frozenset(ports)


def _not_shared(ports: list[int], others: Believed) -> Mapping[int, PortProblem]:
    addresses = ("127.0.0.1",)
    return less_shared(probe(ports, "v4v6", addresses), others, "v4v6", addresses)


def test_ports_of_other_generations_are_not_taken() -> None:
    """They are asked about those in use alone; a stranger's stays taken, and so does one whose owner shares with nobody."""
    with (
        _listener("127.0.0.1", reuse_port=True) as its,
        _listener("127.0.0.1", reuse_port=True) as a_strangers,
        _listener("127.0.0.1") as unshared,
    ):
        ports = [each.getsockname()[1] for each in (its, a_strangers, unshared)]
        others = Believed(ports[0], ports[2])
        assert set(_not_shared([*ports, free_port()], others)) == set(ports[1:])
        assert others.asked == [(frozenset(ports), ("127.0.0.1",))]
        assert set(probe(ports, "v4v6", ("127.0.0.1",))) == set(ports)
    others = Believed()
    assert _not_shared([free_port()], others) == {}
    assert others.asked == []


def test_what_another_address_lacks_is_told_before_who_has_the_port() -> None:
    """A port that is another generation's on one address cannot be had on one that the host does not have."""
    with _listener("127.0.0.1", reuse_port=True) as its:
        port = its.getsockname()[1]
        problems = probe([port], "v4v6", ("127.0.0.1", "192.0.2.1"))
        assert problems[port].obstacle is Obstacle.NO_SUCH_ADDRESS
