"""What is compared: Routes as the router renders them, and beside them hand-written HAProxies that serve the same pods at the same kind of port."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from router.admission.certificates import Pair
from router.admission.options import read_options
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.talk import master
from router.model import Asker, Frontend, Model, RouteSection, Server, backend_name
from router.model.tls import PortTls
from router.reconcile.state_dir import StateDir
from router.render import Renderer, TemplateSet
from router.render.quoting import quoted
from router.settings import RenderSettings, RouteDefaults
from scripts.benchmark import haproxy
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.services import HOST
from scripts.benchmark.workload import ENDPOINT_ADDRESSES

_DEFAULTS = RouteDefaults()
_ROUTE = read_options({}, _DEFAULTS, claims_port=True)
_NAMESPACES = 20

_MINIMAL = """\
global
  stats socket {socket} mode 600 level admin
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
{promises}"""
_PROMISES = """\
  log stdout format raw local0
  option tcplog
  option clitcpka
  clitcpka-idle 2m
  clitcpka-intvl 15s
  option srvtcpka
  srvtcpka-idle 2m
  srvtcpka-intvl 15s
"""
"""What a user of the router is promised and a hand-written configuration would have to have: a line for each connection, and keepalive to both sides."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of port."""

    ends_tls: bool = False
    accepts_proxy: bool = False
    checks: bool = False
    others: int = 0
    """Routes beside the two that are measured."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the sides of one kind have in common."""

    kind: Kind
    pair: Pair
    """The certificate, where TLS ends."""
    echo: int
    """The port of pods that echo."""
    bulk: int
    """That of pods that send without end."""
    binary: HaproxyBinary
    core: int
    """On which each HAProxy is, and nothing else of ours."""


@dataclass(frozen=True, slots=True)
class Side:
    """An HAProxy that runs: its ports to both kinds of pods, and the process that serves."""

    port: int
    bulk_port: int
    worker: int


@contextmanager
def rendered(place: Place, ports: Sequence[int], directory: Path) -> Iterator[Side]:
    """Run HAProxy on what the router renders.

    Args:
        place: what it is made of.
        ports: those of the Route to pods that echo and of the one to pods that send, then one for each other Route.
        directory: does not exist yet.

    Raises:
        BenchFailed, RouterError: it does not start.
    """
    state = StateDir(directory)
    settings = RenderSettings(state_dir=state.path, ip_mode="v4", bind_addresses=(HOST,), nbthread=1)
    made = Renderer(TemplateSet.load(), settings).render(Model(tuple(_sections(place, ports))))
    for failure in made.failures:
        raise BenchFailed(str(failure.error))
    state.open()
    try:
        state.write_server_states(b"1\n")
        state.write_candidate(made.config, made.files)
        state.promote()
        with _served(place, state.config, settings) as worker:
            yield Side(ports[0], ports[1], worker)
    finally:
        state.close()


@contextmanager
def handwritten(place: Place, ports: Sequence[int], directory: Path, *, has_promises: bool) -> Iterator[Side]:
    """Run HAProxy on the least that serves two such ports; ``has_promises`` with what the router promises besides."""
    kind = place.kind
    settings = RenderSettings(state_dir=directory)
    settings.stats_socket.parent.mkdir(parents=True)
    certificate, config = directory / "bench.pem", directory / "haproxy.cfg"
    certificate.write_bytes(place.pair.certificate.pem)
    words = f"{f' ssl crt {quoted(str(certificate))}' if kind.ends_tls else ''}{' accept-proxy' if kind.accepts_proxy else ''}"
    sections = [
        f"listen {name}\n  bind {HOST}:{port}{words}\n"
        + "".join(f"  server pod{number} {address}:{pod}\n" for number, address in enumerate(ENDPOINT_ADDRESSES))
        for name, port, pod in (("echo", ports[0], place.echo), ("bulk", ports[1], place.bulk))
    ]
    head = _MINIMAL.format(socket=quoted(str(settings.stats_socket)), promises=_PROMISES if has_promises else "")
    config.write_text(head + "".join(sections))
    with _served(place, config, settings) as worker:
        yield Side(ports[0], ports[1], worker)


@contextmanager
def _served(place: Place, config: Path, settings: RenderSettings) -> Iterator[int]:
    """Run it on its core; give its worker."""
    cores = os.sched_getaffinity(0)
    with ExitStack() as stack:
        os.sched_setaffinity(0, {place.core})
        try:
            stack.enter_context(haproxy.running(place.binary, config, settings))
        finally:
            os.sched_setaffinity(0, cores)
        worker = master.processes(settings.master_socket, haproxy.DEADLINE_S).worker
        if worker is None:
            raise BenchFailed("HAProxy has no worker")
        yield worker


def _sections(place: Place, ports: Sequence[int]) -> Iterator[RouteSection]:
    kind = place.kind
    options = replace(_ROUTE.port, accept_proxy=kind.accepts_proxy)
    tls = PortTls(place.pair.certificate) if kind.ends_tls else None
    interval_ms = _DEFAULTS.check_interval_ms if kind.checks else 0
    for number, port in enumerate(ports[: kind.others + 2]):
        asker = Asker.route(f"team-{number % _NAMESPACES:02}", f"app-{number:05}")
        is_bulk = number == 1
        # One endpoint of each of the others, which are there to be many and to be checked. The pods that send without end would do so to checks.
        addresses = ENDPOINT_ADDRESSES if number <= 1 else ENDPOINT_ADDRESSES[:1]
        servers = tuple(
            Server(f"pod:{each}", address, place.bulk if is_bulk else place.echo, 1, check=not is_bulk, id=each + 1)
            for each, address in enumerate(addresses)
        )
        backend = replace(_ROUTE.backend, name=backend_name(asker), servers=servers, check_interval_ms=interval_ms)
        yield RouteSection(asker, backend, Frontend(port, options, tls=tls))
