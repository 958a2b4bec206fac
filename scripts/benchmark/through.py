"""Connections through a rendered port, and through a hand-written HAProxy with the least that serves: rounds of each in turn."""

from __future__ import annotations

import socket
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from router.render.quoting import quoted
from router.settings import RenderSettings
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.services import HOST, answer
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, Workload

MIB = 128
"""What flows through one connection in a round."""

_CONNECTIONS = 250
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


def compare(rendered: Ports, minimal: Ports, rounds: int) -> tuple[Samples, Samples]:
    """Measure both in turn, each as often the first of a round as the other; give the samples of both."""
    samples = Samples(), Samples()
    pairs = list(zip((rendered, minimal), samples, strict=True))
    for number in range(rounds):
        for ports, of_these in pairs if number % 2 else reversed(pairs):
            of_these.round_trip_ms.append(_round_trip_ms(ports.port))
            of_these.connections_per_s.append(_connections_per_s(ports.port))
            of_these.mib_per_s.append(_mib_per_s(ports.bulk_port))
    return samples


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


def _round_trip_ms(port: int) -> float:
    """Give the median of round trips over one connection."""
    samples = []
    with socket.create_connection((HOST, port), _WITHIN_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(1)
        for _ in range(_QUESTIONS):
            began_s = time.perf_counter()
            connection.sendall(_QUESTION)
            left = len(_QUESTION)
            while left:
                received = len(connection.recv(left))
                if not received:
                    raise BenchFailed(f"port {port} closed a connection in use")
                left -= received
            samples.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(samples)


def _connections_per_s(port: int) -> float:
    """Connect, wait for the first byte and close, one after another."""
    began_s = time.perf_counter()
    for _ in range(_CONNECTIONS):
        if not answer(port):
            raise BenchFailed(f"port {port} did not answer")
    return _CONNECTIONS / (time.perf_counter() - began_s)


def _mib_per_s(port: int) -> float:
    received = -1  # the pod's number
    began_s = time.perf_counter()
    with socket.create_connection((HOST, port), _WITHIN_S) as connection:
        into = bytearray(_PIECE)
        while size := connection.recv_into(into):
            received += size
    elapsed_s = time.perf_counter() - began_s
    if received != MIB << 20:
        raise BenchFailed(f"through port {port} came {received} bytes instead of {MIB} MiB")
    return MIB / elapsed_s
