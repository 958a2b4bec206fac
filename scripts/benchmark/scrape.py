"""How long one scrape of HAProxy's metrics takes: ``python -m scripts.benchmark.scrape [ROUTES] [SERVER_LIMIT]``.

A HAProxy with that many Routes of three servers each, without traffic; milliseconds of the first scrape (every line is written) and
the median of those after it (lines that did not change are kept), and the size of the text.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from router.haproxy.process.binary import find_binary
from router.haproxy.talk.workers import Workers
from router.model import Spot
from router.observe.metrics.haproxy import HaproxyMetrics, Owners
from router.settings import DEFAULT_SERVER_LIMIT

_FIRST_PORT = 20_000
_SERVERS = 3
_SCRAPES = 20
_DEADLINE_S = 60.0


def measure(routes: int, server_limit: int) -> str:
    """Scrape, and give a line of figures."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        stats_socket, master_socket = directory / "haproxy.sock", directory / "master.sock"
        config = directory / "haproxy.cfg"
        config.write_text(_configuration(stats_socket, routes), encoding="utf-8")
        command = [str(find_binary().path), "-W", "-db", "-S", f"{master_socket},mode,600", "-f", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - found above
        workers = Workers(stats_socket, master_socket, _DEADLINE_S)
        try:
            owners = _owners(routes)
            metrics = HaproxyMetrics(workers, lambda: owners, server_limit)
            ends_s = time.monotonic() + _DEADLINE_S
            while b"\nhaproxy_up 1\n" not in metrics.exposition() and time.monotonic() < ends_s:
                time.sleep(0.05)
            metrics = HaproxyMetrics(workers, lambda: owners, server_limit)
            times_ms, size = [], 0
            for _ in range(_SCRAPES):
                began_s = time.perf_counter()
                size = len(metrics.exposition())
                times_ms.append((time.perf_counter() - began_s) * 1000)
        finally:
            workers.release()
            process.terminate()
            process.wait()
    median = statistics.median(times_ms[1:])
    return f"{routes} Routes: first {times_ms[0]:.0f} ms, then {median:.0f} ms (most {max(times_ms[1:]):.0f}), {size / 1e6:.1f} MB"


def _configuration(stats_socket: Path, routes: int) -> str:
    lines = [
        f"global\n  stats socket {stats_socket} mode 600 level admin\n  stats timeout 2m",
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s",
    ]
    for number in range(routes):
        port = _FIRST_PORT + number
        lines.append(f"frontend fe_tcp:{port}\n  bind 127.0.0.1:{port}\n  default_backend be_tcp:team:route-{number}")
        lines.append(f"backend be_tcp:team:route-{number}")
        lines += [f"  server pod:pod-{each}:svc:tcp:10.0.0.{each}:5432 127.0.0.1:1" for each in range(_SERVERS)]
    return "\n".join(lines) + "\n"


def _owners(routes: int) -> Owners:
    ports = {f"be_tcp:team:route-{number}": _FIRST_PORT + number for number in range(routes)}
    return Owners(
        {f"fe_tcp:{port}": backend for backend, port in ports.items()},
        {},
        {backend: Spot(port) for backend, port in ports.items()},
        routes * _SERVERS,
    )


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    print(measure(given[0] if given else 1000, given[1] if len(given) > 1 else DEFAULT_SERVER_LIMIT))  # noqa: T201 - its job
