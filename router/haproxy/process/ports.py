"""Probe whether ports can be bound, before HAProxy is asked to.

A reload that finds a port taken costs everybody: HAProxy tries for two seconds, with every listener of the running worker
paused meanwhile. So the router tries first, by binding and letting go at once, without ever listening.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from router.errors import HaproxyError
from router.haproxy.generations import Others
from router.model import Bind
from router.settings import IpMode

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Obstacle(StrEnum):
    """Why a port cannot be bound."""

    IN_USE = "in use"
    NOT_PERMITTED = "not permitted"
    """To us; a HAProxy that runs with other rights may be allowed to."""
    NO_SUCH_ADDRESS = "no such address"
    """True of every port on that address."""
    NO_SUCH_FAMILY = "no such family"
    """True of every port of that IP version."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PortProblem:
    """Why one port cannot be bound; ``text`` is for the Route's owner."""

    obstacle: Obstacle
    text: str


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    family: socket.AddressFamily
    v6only: bool


def by_ip(wanted: Iterable[Bind], bind_addresses: Iterable[str]) -> Iterator[tuple[str, list[int], tuple[str, ...]]]:
    """Give for each IP address of some binds the ports, and the addresses as ``probe`` takes them."""
    ports: dict[str, list[int]] = {}
    for bind in wanted:
        ports.setdefault(bind.ip, []).append(bind.port)
    for ip, of_ip in ports.items():
        yield ip, of_ip, (ip,) if ip else tuple(bind_addresses)


def probe(ports: Iterable[int], ip_mode: IpMode, bind_addresses: Iterable[str] = ()) -> Mapping[int, PortProblem]:
    """Find the ports that cannot be bound on the addresses that HAProxy is to bind them on.

    A port on which HAProxy listens already counts as in use, so ask for new ones only. Listeners with SO_REUSEPORT count
    too: HAProxy, which sets it, would come to share the port with them, and the kernel would mix their clients with ours. Ports
    of connections that are open do not, as long as nobody listens.

    Args:
        ports: port numbers.
        ip_mode: ``v4``, ``v6`` (alone), or ``v4v6`` (both in one socket), where no addresses are given.
        bind_addresses: IP addresses; IPv6 ones are bound for IPv6 alone.

    Returns:
        The problem of each port that has one. Where there are several, one that does not end with the other owner goes first.

    Raises:
        HaproxyError: the router itself lacks file descriptors or memory to try.
    """
    addresses = tuple(_addresses(ip_mode, bind_addresses))
    problems = {}
    for port in ports:
        for address in addresses:
            problem = _try(address, port)
            if problem is not None:
                problems[port] = problem
                if problem.obstacle is not Obstacle.IN_USE:
                    break
    return problems


def less_shared(
    problems: Mapping[int, PortProblem], others: Others, ip_mode: IpMode, bind_addresses: Iterable[str] = ()
) -> Mapping[int, PortProblem]:
    """Leave out the ports that are in use by other generations of this router alone, and that can be bound beside them.

    Args:
        problems: what ``probe`` found.
        others: the other generations.
        ip_mode: as for ``probe``.
        bind_addresses: likewise.
    """
    in_use = [port for port, each in problems.items() if each.obstacle is Obstacle.IN_USE]
    if not in_use:
        return problems
    addresses = tuple(_addresses(ip_mode, bind_addresses))
    shared = {
        port
        for port in others.shared(in_use, [address.host for address in addresses])
        if all(_try(address, port, beside=True) is None for address in addresses)
    }
    return {port: each for port, each in problems.items() if port not in shared}


def _addresses(ip_mode: IpMode, bind_addresses: Iterable[str]) -> Iterator[_Address]:
    named = tuple(bind_addresses)
    for host in named:
        yield _Address(host, socket.AF_INET6 if ":" in host else socket.AF_INET, v6only=True)
    if not named:
        if ip_mode == "v4":
            yield _Address("0.0.0.0", socket.AF_INET, v6only=True)  # noqa: S104 - where HAProxy will listen
        else:
            yield _Address("::", socket.AF_INET6, v6only=ip_mode == "v6")


def _try(address: _Address, port: int, *, beside: bool = False) -> PortProblem | None:
    try:
        # Not as ``socket.socket``, which does more in Python than the kernel does for all of this, for each of thousands of ports.
        attempt = socket.SocketType(address.family, socket.SOCK_STREAM)
    except OSError as error:
        return _problem(error, address)
    try:
        # As HAProxy: connections in TIME_WAIT and those of a replaced worker are no obstacle.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if beside:
            # It does not listen, so nobody is led to it.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.family == socket.AF_INET6:
            attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.v6only))
        attempt.bind((address.host, port))
    except OSError as error:
        return _problem(error, address)
    finally:
        attempt.close()
    return None


def _problem(error: OSError, address: _Address) -> PortProblem:
    match error.errno:
        case errno.EADDRINUSE:
            return PortProblem(Obstacle.IN_USE, "another process uses it")
        case errno.EACCES | errno.EPERM:
            return PortProblem(
                Obstacle.NOT_PERMITTED,
                "the router is not allowed to: it needs the capability NET_BIND_SERVICE, or a lower "
                "net.ipv4.ip_unprivileged_port_start",
            )
        case errno.EADDRNOTAVAIL:
            return PortProblem(Obstacle.NO_SUCH_ADDRESS, f"the host has no address {address.host}")
        case errno.EAFNOSUPPORT:
            version = "IPv6" if address.family == socket.AF_INET6 else "IPv4"
            return PortProblem(Obstacle.NO_SUCH_FAMILY, f"the host has no {version}")
    reason = os.strerror(error.errno) if error.errno is not None else str(error)
    if error.errno in _OUT_OF_RESOURCES:
        raise HaproxyError(f"ports cannot be tried before HAProxy binds them: {reason}") from error
    return PortProblem(Obstacle.OTHER, reason)
