"""What it costs a client of PostgreSQL that it asks in plain text before TLS begins, and what it costs the others on that port."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from router.admission.certificates import Pair
from router.admission.options import read_options
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.talk import master
from router.model import Asker, Model, PortOptions, RouteSection, Server, SharedFrontend, SniHost, Spot, backend_name
from router.model.tls import PortTls
from router.reconcile.state_dir import StateDir
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings, RouteDefaults
from scripts.benchmark import haproxy
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import Figure, summarize
from scripts.benchmark.ports import free_ports
from scripts.benchmark.services import HOST, Services

ALONE = "handshake on a port where nobody asks"
BESIDE = "handshake on a port where others ask"
ASKED = "handshake after a question"
_CPU = "HAProxy's CPU: "
_BATCH = 50
"""Connections of a sample of CPU, which the kernel counts in hundredths of a second."""
_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
_NAME = "r0.example.com"
_WITHIN_S = 10.0
_OWN_ADDRESSES = ("127.0.0.1",)


def measure_starttls(
    runs: int, pair: Pair, binary: HaproxyBinary, directory: Path, note: Callable[[str], None]
) -> list[Figure]:
    """Measure with one Route, in turns: so many batches of connections of each kind.

    Args:
        runs: how many batches.
        pair: what the port shows.
        binary: the HAProxy to run.
        directory: an empty one, with a path that is short enough for sockets.
        note: is told what is being measured.

    Raises:
        BenchFailed, RouterError: something did not work.
    """
    note("handshakes of clients that ask first")
    kinds = {ALONE: (False, b""), BESIDE: (True, b""), ASKED: (True, _SSL_REQUEST)}
    taken_ms: dict[str, list[float]] = {name: [] for name in kinds}
    cpu_ms: dict[str, list[float]] = {name: [] for name in kinds}
    pod, *ports = free_ports(3, _OWN_ADDRESSES)
    with ExitStack() as stack:
        stack.enter_context(Services({pod: b"x"}))
        models = {
            answers: _model(port, pod, pair, answers=answers)
            for answers, port in zip((False, True), ports, strict=True)
        }
        served = {answers: _serve(stack, directory / str(answers), binary, model) for answers, model in models.items()}
        for run in range(runs + 1):
            for name, (answers, question) in kinds.items():
                port, worker = served[answers]
                before = _cpu_ms(worker)
                samples = [_handshake_ms(port, question) for _ in range(_BATCH)]
                # The first batch warms up.
                if run:
                    cpu_ms[name].append((_cpu_ms(worker) - before) / _BATCH)
                    taken_ms[name] += samples
    return [
        *(summarize(1, name, samples, {}) for name, samples in taken_ms.items()),
        *(summarize(1, _CPU + name, samples, {}) for name, samples in cpu_ms.items()),
    ]


def _serve(stack: ExitStack, directory: Path, binary: HaproxyBinary, model: Model) -> tuple[int, int]:
    """Run a HAProxy until the stack is left; give its port, and the process that serves it."""
    state = StateDir(directory)
    settings = RenderSettings(state_dir=state.path, ip_mode="v4", bind_addresses=(HOST,))
    rendered = Renderer(TemplateSet.load(), settings).render(model)
    for failure in rendered.failures:
        raise BenchFailed(str(failure.error))
    state.open()
    stack.callback(state.close)
    state.write_server_states(b"1\n")
    state.write_candidate(rendered.config, rendered.files)
    state.promote()
    stack.enter_context(haproxy.running(binary, state.config, settings))
    worker = master.processes(settings.master_socket, haproxy.DEADLINE_S).worker
    if worker is None:
        raise BenchFailed("HAProxy has no worker")
    return model.shared[0].port, worker


def _model(port: int, pod: int, pair: Pair, *, answers: bool) -> Model:
    asker = Asker.route("bench", "r0")
    options = read_options({}, RouteDefaults(check_interval_ms=0), claims_port=False)
    server = Server("pod", HOST, pod, 1, id=1)
    backend = replace(options.backend, name=backend_name(asker), servers=(server,))
    tls = PortTls(pair.certificate, alpn=("postgresql",), starttls="postgres" if answers else None)
    of_port = PortOptions(timeout_client_ms=30_000, maxconn=None, tcp_keepalive=True, accept_proxy=False)
    shared = SharedFrontend(port, of_port, (SniHost(_NAME, backend.name, asker, tls),))
    return Model((RouteSection(asker, backend, None, (Spot(port),)),), (shared,))


def _handshake_ms(port: int, question: bytes) -> float:
    """Time a connection from its begin to the first byte of the pod; no session is resumed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    began_s = time.perf_counter()
    with socket.create_connection((HOST, port), _WITHIN_S) as plain:
        if question:
            plain.sendall(question)
            if plain.recv(1) != b"S":
                raise BenchFailed("a client that asked for TLS was not answered")
        with context.wrap_socket(plain, server_hostname=_NAME) as connection:
            if connection.recv(1) != b"x":
                raise BenchFailed("a client was not led to its service")
            return (time.perf_counter() - began_s) * 1000


def _cpu_ms(process: int) -> float:
    """Give what a process has had of the processors."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")
