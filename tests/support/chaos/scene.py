"""What chaos happens to: an API server, a router with a port pool that follows it, pods, and clients that hold connections."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from router.cli.bases import common_bases
from router.haproxy.process.binary import find_binary
from router.haproxy.talk import stats
from router.objects.credential import Credential
from router.render.templates import ROUTE, default_template_dir
from router.settings import AdmissionSettings, PortRanges, RenderSettings, RouteDefaults
from tests.support.api_server import EVERY_ADDRESS, ApiServer
from tests.support.certificates import Made, make, server_context
from tests.support.chaos import processes
from tests.support.chaos.pods import pod
from tests.support.chaos.routers import DEFAULT_CERTIFICATE, NAMESPACE, SNI_POOL, FollowingRouter, routers
from tests.support.generation import probe
from tests.support.level import Level, connect
from tests.support.objects import ANNOTATIONS, app, may_read_secret
from tests.support.probing import Prober, receive
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

Address = tuple[str, int]

NAMES = tuple(f"app{number}" for number in range(8))
MOVED = "moved"
"""A Route that is always there, whose pods come and go, and whose connections end when their pod fails its check."""
DOMAINS = (".example.com", ".wild.example.com")
CONTESTED_HOST = "shared.example.com"
SECRETS = ("tls0", "tls1", "tls2")
"""Secrets that Routes name; they come and go, and the routers may read them."""
_CERTIFICATES = 5
_PODS = 8
_LEASE = "tcp-router"
_PING = b"still there?"
_ANSWERS_WITHIN_S = 10.0


@dataclass(slots=True)
class Held:
    """A connection that must live on until there is a reason for its end."""

    where: str
    prefix: bytes
    connection: socket.socket
    worker: int
    """The HAProxy process that has it."""

    def problem(self) -> str:
        """Give what is wrong with it; empty where an echo comes back."""
        wanted = self.prefix + _PING
        try:
            self.connection.sendall(_PING)
            got = receive(self.connection, len(wanted))
        except OSError as error:
            return f"the connection held to {self.where}: {error!r}"
        return "" if got == wanted else f"the connection held to {self.where}: {got!r}"


@dataclass(slots=True)
class Scene:
    """All that takes part. What is decided at random must not be read from it where it depends on time."""

    directory: Path
    api: ApiServer
    router: FollowingRouter
    pods: dict[Address, bytes]
    steady: dict[str, tuple[int, Address]]
    """Routes that nothing happens to: their ports and pods."""
    pool: tuple[int, ...]
    outside: tuple[int, ...]
    """Ports beside the pool."""
    shared_port: int
    moved_port: int
    sni_port: int
    say: Callable[[str], None]
    certificates: tuple[Made, ...]
    """Those that Routes have, in themselves, in Secrets, or by default."""
    next_router: Callable[[], FollowingRouter]
    """Makes a router that can take this one's place: with a state directory of its own, and all else alike."""
    foreign: dict[int, socket.socket] = field(default_factory=dict)
    """Listeners on ports that Routes ask for."""
    held: list[Held] = field(default_factory=list)
    template: str | None = None
    """What is in the place of the router's own template for Routes."""
    good_template: str | None = None
    """The last one that HAProxy takes."""
    good_texts: list[str] = field(default_factory=list)
    """The text of that. A bad one may come before it is read: then also of the good one before, which stays in use."""
    haproxy: str | None = None
    """The one that was named; None is found as the router finds it."""
    haproxy_kills: int = 0
    """Since the router was started: between restarts of HAProxy it pauses longer and longer."""

    @property
    def addresses(self) -> list[Address]:
        """Where the pods are that change."""
        return [address for address in self.pods if address not in {pod for _, pod in self.steady.values()}]

    @property
    def ports(self) -> tuple[int, ...]:
        """All that a Route may ask for, as its own."""
        return (*self.pool, *self.outside, self.shared_port)

    @property
    def template_dir(self) -> Path:
        """The router's ``--template-dir``."""
        return self.directory / "templates"

    @property
    def admission(self) -> AdmissionSettings:
        """Give how the router decides."""
        return AdmissionSettings(
            ports=PortRanges(((1, 65535),)),
            sni_port=self.sni_port,
            allow_loopback_endpoints=True,
            allow_wildcard_routes=True,
            defaults=RouteDefaults(check_interval_ms=1_000),
        )

    @property
    def rendering(self) -> RenderSettings:
        """Give how the router renders."""
        return RenderSettings(
            state_dir=self.router.state.absolute(),
            bind_addresses=("127.0.0.1",),
            log_json=True,
            namespace_limits=True,
            bases=common_bases(find_binary(self.haproxy), self.admission.defaults),
        )

    @property
    def pool_ranges(self) -> PortRanges:
        """Give the pool as the router has it."""
        return PortRanges.of(*self.pool, self.steady["steady0"][0])

    @property
    def sni_pool(self) -> int:
        """How many places the pool has for Routes on shared ports."""
        return SNI_POOL

    def level(self) -> Level:
        """Compare the router with the API server."""
        ports = (*self.ports, self.moved_port, self.sni_port, *(port for port, _ in self.steady.values()))
        hosts = (CONTESTED_HOST, *(f"{name}{domain}" for name in NAMES for domain in DOMAINS))
        return Level(self.api, self.router, self.pods, ports, self.admission, hosts, self.default_certificate())

    # Certificates

    def default_certificate(self) -> Credential:
        """Give what is in the file of the default one."""
        return Credential(certificate=(self.directory / DEFAULT_CERTIFICATE).read_text(encoding="utf-8"))

    def write_default_certificate(self, made: Made) -> None:
        """Put another one there, as a cluster does."""
        write_default_certificate(self.directory, made)

    # Templates

    def write_template(self, name: str, text: str, *, good: bool) -> None:
        """Put a template for Routes in the place of the router's own, as an editor does."""
        beside = self.template_dir / f".{ROUTE}.new"
        beside.write_text(text, encoding="utf-8")
        beside.rename(self.template_dir / ROUTE)
        self.template = name
        if good:
            self.good_template = name
            self.good_texts = [*(self.good_texts or [self.own_template()])[-1:], text]

    def own_template(self) -> str:
        """Give the text of the router's own template for Routes."""
        return (default_template_dir() / ROUTE).read_text(encoding="utf-8")

    def mend_template(self) -> None:
        """Have a good template, if there is a bad one."""
        if self.template != self.good_template:
            self.write_template("mended", f"# mended\n{self.own_template()}", good=True)

    # Processes

    def worker(self) -> int:
        """Give the newest worker; it is there."""
        return stats.info(self.rendering.stats_socket, _ANSWERS_WITHIN_S).pid

    def old_workers(self) -> tuple[int, ...]:
        """Give the workers that were replaced and still have connections."""
        pids = self.router.haproxy_pids()
        return tuple(pid for pid in pids if pid not in processes.masters(pids) and pid != self.worker())

    def kill_haproxy(self, *pids: int) -> None:
        """Kill processes of HAProxy's that all others end with."""
        self.haproxy_kills += 1
        self.let_go_of_all()
        for pid in pids:
            processes.kill(pid)

    def kill_router(self, *, with_lease: bool) -> None:
        """Kill the router, and with it its HAProxy and, at will, its Lease."""
        self.let_go_of_all()
        assert self.router.process is not None
        self.router.process.kill()
        self.router.process.wait()
        if with_lease and self.api.get("Lease", NAMESPACE, _LEASE) is not None:
            self.api.delete("Lease", NAMESPACE, _LEASE)

    def limit_files(self, limit: int | None) -> None:
        """Start the router anew, with so many files for its HAProxy."""
        self.let_go_of_all()
        code = self.router.stop()
        assert code == 0, f"the router ended with {code}"
        self.router.files_limit = limit
        self.start_router()

    def give_files_back(self) -> None:
        """Let HAProxy open as many as it likes, if it may not."""
        if self.router.files_limit is not None:
            self.limit_files(None)

    def start_router(self) -> None:
        """Start it again."""
        self.mend_template()
        self.haproxy_kills = 0
        self.router.launch()

    def replace_router(self) -> int:
        """Start another router beside this one, as an update does, let that one end, and give its exit code.

        New connections must not fail while both are there, and held ones live until the old one ends.
        """
        self.mend_template()
        old, new = self.router, self.next_router()
        with contextlib.ExitStack() as stack:
            probers = [stack.enter_context(Prober(port, 0.01)) for port, _ in self.steady.values()]
            new.launch()
            # From now on it is the one that is stopped in the end, whatever happens.
            self.router = new
            stack.callback(_stop, old)
            wait_for(
                lambda: probe(new.state / "run" / "ready.sock") == 0, "the new router to be ready beside the old one"
            )
            strangers = {port for port, _ in self.steady.values()} & {e["port"] for e in new.events("port set aside")}
            assert not strangers, f"the new router does not share the old one's ports {strangers}"
            failures = [failure for prober in probers for failure in prober.failures]
            assert not failures, f"connections failed while two routers were there: {failures[:5]}"
            problems = [problem for held in self.held if (problem := held.problem())]
            assert not problems, "\n".join(problems)
            self.let_go_of_all()
            self.haproxy_kills = 0
        return _stop(old)

    # Listeners of others

    def take_port(self, port: int) -> bool:
        """Listen on a port, as another process of the host would; say whether that could be had."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(8)
        except OSError:
            listener.close()
            return False
        self.foreign[port] = listener
        return True

    def free_ports(self) -> None:
        """Let go of the ports."""
        for listener in self.foreign.values():
            listener.close()
        self.foreign.clear()

    # Held connections

    def hold(self, port: int, host: str | None) -> None:
        """Hold one more connection, to what is served."""
        connection = connect(port, host=host)
        connection.sendall(b"?")
        prefix = receive(connection, 1)[:-1]
        worker = processes.owner(connection, self.router.haproxy_pids())
        assert prefix in self.pods.values(), f"a connection to port {port} was answered {prefix!r}"
        assert worker is not None, f"no HAProxy process has the connection to port {port}"
        self.held.append(Held(f"port {port}, {host}" if host else f"port {port}", prefix, connection, worker))

    def let_go(self, which: Held) -> None:
        """End a held connection."""
        self.held.remove(which)
        which.connection.close()

    def let_go_of_all(self) -> None:
        """End all held connections: they have a reason to end now."""
        for each in list(self.held):
            self.let_go(each)

    def let_go_of_worker(self, worker: int) -> None:
        """End those that one HAProxy process has."""
        for each in [held for held in self.held if held.worker == worker]:
            self.let_go(each)


@contextlib.contextmanager
def made_scene(directory: Path, say: Callable[[str], None], haproxy: str | None) -> Iterator[Scene]:
    """Give a scene whose router serves two steady Routes; nothing of it is left afterwards."""
    with contextlib.ExitStack() as stack:
        context = server_context(directory, "*.example.com")
        pods = {}
        for number in range(_PODS):
            prefix = f"p{number} ".encode()
            made = stack.enter_context(pod(context, prefix))
            pods[made.address, made.port] = prefix
        # Those of steady Routes give back just what they get.
        steady_pods = [stack.enter_context(pod(context, b"", f"127.0.0.{4 + number}")) for number in range(2)]
        pods |= {(each.address, each.port): b"" for each in steady_pods}
        certificates = tuple(make("*.example.com", "*.wild.example.com") for _ in range(_CERTIFICATES))
        write_default_certificate(directory, certificates[0])
        ports = _ports(15)
        pool, outside = tuple(ports[:5]), tuple(ports[5:9])
        # One on a port of the pool, one beside it.
        steady_ports = ports[12], ports[9]
        api = stack.enter_context(ApiServer(tls=True, loopback=EVERY_ADDRESS))
        next_router = routers(directory, api, (*pool, steady_ports[0]), ports[10], ports[14], haproxy)
        router = next_router()
        scene = Scene(
            directory=directory, api=api, router=router, next_router=next_router, pods=pods, pool=pool, outside=outside, shared_port=ports[11], moved_port=ports[13],
            sni_port=ports[10], say=say, certificates=certificates, haproxy=haproxy,
            steady={f"steady{n}": (steady_ports[n], (each.address, each.port)) for n, each in enumerate(steady_pods)},
        )  # fmt: skip
        for name in SECRETS:
            api.apply(*may_read_secret(name, namespace=NAMESPACE))
        for name, (port, address) in scene.steady.items():
            api.apply(*app(name, port, address))
        cuts = {f"{ANNOTATIONS}on-marked-down": "shutdown-sessions"}
        api.apply(*app(MOVED, ports[13], scene.addresses[0], annotations=cuts))
        stack.callback(_end, scene)
        router.start()
        scene.level().wait()
        yield scene


def write_default_certificate(directory: Path, made: Made) -> None:
    """Put a certificate and its key into the file of the default one, whole or not at all."""
    draft = directory / f"{DEFAULT_CERTIFICATE}.new"
    draft.write_text(made.pem + made.key, encoding="utf-8")
    draft.rename(directory / DEFAULT_CERTIFICATE)


def _ports(count: int) -> list[int]:
    """Give free ports that no connection has on the client's side: for a minute after that nobody can listen on one."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    found: list[int] = []
    # Not by the seed: several runs of one seed may be under way on a machine.
    for port in random.SystemRandom().sample(range(lowest - 12_000, lowest), 2_000):
        with (
            contextlib.suppress(OSError),
            socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True),
        ):
            found.append(port)
            if len(found) == count:
                break
    assert len(found) == count, f"there are no {count} free ports below {lowest}"
    return found


def _stop(router: RouterProcess) -> int:
    code = router.stop()
    wait_for(lambda: not router.haproxy_pids(), "every HAProxy process to be gone")
    return code


def _end(scene: Scene) -> None:
    scene.let_go_of_all()
    scene.free_ports()
    scene.api.faults.clear()
    if scene.router.process is None:
        return
    code = _stop(scene.router)
    assert code == 0, f"the router ended with {code}"
