"""What certificates cost: one for each Route, all of them reached by name on one port."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from router.admission.certificates import Pair, judge_pair
from router.admission.options import read_options
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.talk import master
from router.haproxy.talk.runtime import run
from router.model import Asker, Backend, Model, PortOptions, RouteSection, SharedFrontend, SniHost, Spot, backend_name
from router.model.tls import PortTls
from router.plan import RuntimeUpdate, plan
from router.reconcile.state_dir import StateDir
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings, RouteDefaults
from scripts.benchmark import haproxy
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import Figure, summarize
from scripts.benchmark.ports import free_ports
from scripts.benchmark.services import HOST
from scripts.benchmark.starttls import measure_starttls

JUDGED = "certificate checked"
CHECK = "haproxy -c, certificates"
RELOAD = "reload, certificates"
MEMORY = "memory of HAProxy's worker, certificates"
CHANGED = "certificate changed"
_KIB = 1024
_OWN_ADDRESSES = ("127.0.0.1",)


def measure_tls(
    routes: int, runs: int, binary: HaproxyBinary, directory: Path, note: Callable[[str], None]
) -> list[Figure]:
    """Measure with so many Routes that end TLS.

    Raises:
        BenchFailed, RouterError: something did not work.
    """
    note(f"{routes:,} Routes: certificates")
    made = [made_certificate(f"r{number}.example.com") for number in range(routes + runs)]
    judged_ms, pairs = [], []
    for certificate, key in made:
        began_s = time.perf_counter()
        pair = judge_pair("spec.tls", certificate, key, "")
        judged_ms.append((time.perf_counter() - began_s) * 1000)
        if not isinstance(pair, Pair):
            raise BenchFailed(f"a certificate is refused: {pair}")
        pairs.append(pair)
    state = StateDir(directory)
    settings = RenderSettings(state_dir=state.path, ip_mode="v4", bind_addresses=(HOST,))
    renderer = Renderer(TemplateSet.load(), settings)
    (port,) = free_ports(1, _OWN_ADDRESSES)
    model = _model(port, pairs[:routes])
    state.open()
    try:
        rendered = renderer.render(model)
        for failure in rendered.failures:
            raise BenchFailed(str(failure.error))
        state.write_server_states(b"1\n")
        state.write_candidate(rendered.config, rendered.files)
        state.promote()
        figures = [
            summarize(routes, JUDGED, judged_ms, {}),
            summarize(routes, CHECK, haproxy.check_ms(binary, state.config, runs), {}),
            summarize(routes, RELOAD, haproxy.reload_ms(binary, state.config, settings, runs), {}),
        ]
        with haproxy.running(binary, state.config, settings):
            figures.append(summarize(routes, MEMORY, [_worker_mib(settings)], {}, "MiB"))
            figures.append(summarize(routes, CHANGED, _changed_ms(renderer, settings, model, pairs, runs), {}))
    finally:
        state.close()
    return [*figures, *measure_starttls(runs, pairs[0], binary, directory.with_name("starttls"), note)]


def _changed_ms(
    renderer: Renderer, settings: RenderSettings, model: Model, pairs: Sequence[Pair], runs: int
) -> list[float]:
    """Time another certificate for one host after the other, from the model to HAProxy's last reply."""
    running, samples = renderer.loaded(model), []
    routes = len(model.routes)
    current = list(pairs[:routes])
    for number in range(min(runs, routes)):
        current[number] = pairs[routes + number]
        wanted = _model(model.shared[0].port, current, model.routes)
        began_s = time.perf_counter()
        todo = plan(running, wanted, renderer)
        if not isinstance(todo, RuntimeUpdate):
            raise BenchFailed(f"another certificate needs more than commands: {todo}")
        run(settings.stats_socket, todo.commands, haproxy.DEADLINE_S)
        samples.append((time.perf_counter() - began_s) * 1000)
        running = todo.after
    return samples


def _model(port: int, pairs: Sequence[Pair], routes: tuple[RouteSection, ...] = ()) -> Model:
    askers = [Asker.route("bench", f"r{number:05}") for number in range(len(pairs))]
    options = read_options({}, RouteDefaults(check_interval_ms=0), claims_port=False)
    sections = routes or tuple(_section(asker, options.backend, port) for asker in askers)
    # A certificate that is another one is for another name; nobody looks.
    hosts = [
        SniHost(f"r{number}.example.com", backend_name(asker), asker, PortTls(pair.certificate))
        for number, (asker, pair) in enumerate(zip(askers, pairs, strict=True))
    ]
    of_port = PortOptions(timeout_client_ms=30_000, maxconn=None, tcp_keepalive=True, accept_proxy=False)
    return Model(sections, (SharedFrontend(port, of_port, tuple(sorted(hosts, key=lambda each: each.host))),))


def _section(asker: Asker, backend: Backend, port: int) -> RouteSection:
    return RouteSection(asker, replace(backend, name=backend_name(asker)), None, (Spot(port),))


def _worker_mib(settings: RenderSettings) -> float:
    worker = master.processes(settings.master_socket, haproxy.DEADLINE_S).worker
    (line,) = [each for each in Path(f"/proc/{worker}/status").read_text().splitlines() if each.startswith("VmRSS")]
    return int(line.split()[1]) / _KIB


def made_certificate(host: str) -> tuple[str, str]:
    """Make a certificate of our own for a host; give it and its key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), pem.decode()
