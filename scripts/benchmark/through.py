"""Connections through a rendered port, and through a hand-written HAProxy with the least that serves, in turn."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from router.render.quoting import quoted
from router.settings import RenderSettings
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.services import HOST, answer
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, Workload

MIB = 32
"""What flows through one connection."""

_CONNECTIONS = 250
_AT_ONCE = 4
"""Connections of each side in which round trips are taken, and that bytes flow through one after another."""
_QUESTIONS = 400
_QUESTION = bytes(64)
_WITHIN_S = 20.0
_PIECE = 1 << 18

_MINIMAL = """\
global
  stats socket {socket} mode 600 level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen echo
  bind {host}:{port}
{servers}
listen bulk
  bind {host}:{bulk_port}
{bulk_servers}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one HAProxy listens: in front of pods that echo, and of those that send without end."""

    port: int
    bulk_port: int


@dataclass(frozen=True, slots=True)
class Samples:
    """One value for each round."""

    round_trip_ms: list[float] = field(default_factory=list)
    connections_per_s: list[float] = field(default_factory=list)
    mib_per_s: list[float] = field(default_factory=list)


_Sides = tuple[Ports, Ports]
"""The rendered one, and the minimal one."""


def compare(rendered: Ports, minimal: Ports, rounds: int) -> tuple[Samples, Samples]:
    """Measure both at the same time, now a piece of one and now of the other; give the samples of both."""
    ours, bare = Samples(), Samples()
    for _ in range(rounds):
        for take, of_ours, of_bare in (
            (_round_trip_ms, ours.round_trip_ms, bare.round_trip_ms),
            (_connections_per_s, ours.connections_per_s, bare.connections_per_s),
            (_mib_per_s, ours.mib_per_s, bare.mib_per_s),
        ):
            one, other = take((rendered, minimal))
            of_ours.append(one)
            of_bare.append(other)
    return ours, bare


def write_minimal(path: Path, settings: RenderSettings, workload: Workload, ports: Ports) -> None:
    """Write the configuration that has no more than what serves two Routes as the router's does."""
    path.write_text(
        _MINIMAL.format(
            socket=quoted(str(settings.stats_socket)),
            host=HOST,
            port=ports.port,
            bulk_port=ports.bulk_port,
            servers=_servers(workload.endpoint_port),
            bulk_servers=_servers(workload.other_endpoint_port),
        )
    )


def _servers(port: int) -> str:
    return "\n".join(f"  server pod{number} {address}:{port}" for number, address in enumerate(ENDPOINT_ADDRESSES))


def _in_turn(pieces: int) -> Iterator[int]:
    """Give the sides, 0 and 1, so many times each, each as often before the other as after it."""
    for number in range(pieces):
        yield from (0, 1) if number % 2 else (1, 0)


def _round_trip_ms(sides: _Sides) -> tuple[float, float]:
    """Give the median of round trips over some connections; which thread a connection is served by is chance."""
    samples: tuple[list[float], list[float]] = [], []
    with ExitStack() as stack:
        connections = [[stack.enter_context(_connected(ports.port)) for _ in range(_AT_ONCE)] for ports in sides]
        for which in range(_AT_ONCE):
            for side in (0, 1) if which % 2 else (1, 0):
                # Many in a row: an HAProxy that sleeps between two is another thing to measure.
                samples[side].extend(_asked_ms(connections[side][which]) for _ in range(_QUESTIONS // _AT_ONCE))
    return statistics.median(samples[0]), statistics.median(samples[1])


def _connections_per_s(sides: _Sides) -> tuple[float, float]:
    """Connect, wait for the first byte and close, one after another."""
    spent_s = [0.0, 0.0]
    for side in _in_turn(_CONNECTIONS):
        began_s = time.perf_counter()
        if not answer(sides[side].port):
            raise BenchFailed(f"port {sides[side].port} did not answer")
        spent_s[side] += time.perf_counter() - began_s
    return _CONNECTIONS / spent_s[0], _CONNECTIONS / spent_s[1]


def _mib_per_s(sides: _Sides) -> tuple[float, float]:
    """Take all that comes, over one connection after another."""
    spent_s = [0.0, 0.0]
    for side in _in_turn(_AT_ONCE):
        spent_s[side] += _poured_s(sides[side].bulk_port)
    return MIB * _AT_ONCE / spent_s[0], MIB * _AT_ONCE / spent_s[1]


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, port), _WITHIN_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(1)
        yield connection


def _asked_ms(connection: socket.socket) -> float:
    """Send some bytes, and wait until they are back."""
    began_s = time.perf_counter()
    connection.sendall(_QUESTION)
    left = len(_QUESTION)
    while left:
        received = len(connection.recv(left))
        if not received:
            raise BenchFailed("a connection in use was closed")
        left -= received
    return (time.perf_counter() - began_s) * 1000


def _poured_s(port: int) -> float:
    received = -1  # the pod's number
    began_s = time.perf_counter()
    with socket.create_connection((HOST, port), _WITHIN_S) as connection:
        into = bytearray(_PIECE)
        while size := connection.recv_into(into):
            received += size
    elapsed_s = time.perf_counter() - began_s
    if received != MIB << 20:
        raise BenchFailed(f"through port {port} came {received} bytes instead of {MIB} MiB")
    return elapsed_s
