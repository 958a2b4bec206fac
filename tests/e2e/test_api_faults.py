"""Faults of the API server under a whole router: what HAProxy serves and what Routes are told is right after each of them."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.support.api_server import EVERY_ADDRESS, ApiServer
from tests.support.cluster import ClusterRouter
from tests.support.level import Level, Watchman, metric
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, route, service
from tests.support.ports import free_ports
from tests.support.probing import is_refused, serves
from tests.support.router_process import RouterProcess, http_get, processes_with
from tests.support.servers import echo_server
from tests.support.waiting import wait_for

Address = tuple[str, int]

PORT_ANNOTATION = f"{ANNOTATIONS}external-tcp-port"
LIST_PATHS = {"routes": "/apis/route.openshift.io/v1/routes", "services": "/api/v1/services",
              "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices"}  # fmt: skip
STATUSES = "/apis/route.openshift.io/v1/namespaces"
"""Where the paths of writes of a status begin."""
NAMES = tuple(f"app{number}" for number in range(6))
SEED = 20_260_217
REQUESTS_PER_S = 20
"""More than that is a hot loop; what happens here causes about three."""


@dataclass(slots=True)
class Scene:
    """An API server, a router that follows it, and pods; ``steady`` Routes are there to be left alone."""

    api: ApiServer
    router: RouterProcess
    token_file: Path
    pods: dict[Address, bytes]
    ports: tuple[int, ...]
    steady: dict[str, int]
    tokens: int = 1

    @property
    def addresses(self) -> list[Address]:
        """Where the pods are."""
        return list(self.pods)

    def level(self) -> Level:
        """Compare the router with the API server."""
        return Level(self.api, self.router, self.pods, (*self.ports, *self.steady.values()))

    def rotate_token(self, *, tell: bool = True) -> None:
        """Let only a new token in, from the next request on; ``tell`` the router in its file."""
        self.tokens += 1
        self.api.tokens = {f"token-{self.tokens}"}
        if tell:
            self.tell_token()

    def tell_token(self) -> None:
        """Put the token that is good now into the router's file."""
        beside = self.token_file.with_suffix(".new")
        beside.write_text(f"token-{self.tokens}")
        beside.rename(self.token_file)

    def seen(self, status: int, path: str = "") -> int:
        """Count requests for a path that were answered so."""
        return sum(r.status == status and r.path.startswith(path) for r in self.api.requests)

    def wait_for_api(self, *, connected: bool) -> None:
        """Wait until the metric says so."""
        wait_for(lambda: metric(self.router, "tcp_router_api_connected") == connected, f"api_connected {connected}", 40)


@contextlib.contextmanager
def api_and_router(directory: Path) -> Iterator[tuple[ApiServer, RouterProcess, Path]]:
    """Give an API server, a router that is to follow it, not started yet, and the file with its token; nothing is left."""
    with ApiServer(tls=True, loopback=EVERY_ADDRESS) as api:
        token_file = directory / "token"
        token_file.write_text("token-1")
        api.tokens.add("token-1")
        kubeconfig = api.kubeconfig(directory, token_file=token_file)
        (directory / "router").mkdir()
        router = ClusterRouter(
            directory / "router", "--kubeconfig", str(kubeconfig), "--lease-namespace", "team", "--check-interval", "1s"
        )
        try:
            yield api, router, token_file
        finally:
            api.faults.clear()
            if router.process is not None:
                code = router.stop()
                wait_for(lambda: not router.haproxy_pids(), "every HAProxy process to be gone")
                assert processes_with(str(router.state)) == ()
                assert code == 0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A router that serves three steady Routes, with pods and ports for more."""
    with contextlib.ExitStack() as stack:
        pods = {}
        for number in range(8):
            prefix = f"p{number} ".encode()
            pod = stack.enter_context(echo_server(prefix, "127.0.0.2"))
            pods[pod.address, pod.port] = prefix
        ports = free_ports(8)
        api, router, token_file = stack.enter_context(api_and_router(tmp_path))
        steady = {f"steady{number}": port for number, port in enumerate(ports[5:])}
        made = Scene(api, router, token_file, pods, ports[:5], steady)
        for pod_address, (name, port) in zip(pods, steady.items(), strict=False):
            api.apply(*app(name, port, pod_address))
        router.start()
        made.level().wait()
        yield made


def held(scene: Scene, watchman: Watchman) -> None:
    """Hold a connection to each steady Route."""
    for prefix, port in zip(scene.pods.values(), scene.steady.values(), strict=False):
        watchman.hold(port, prefix)


def log(line: str) -> None:
    """Say how it goes; pytest shows it with ``-s``, and after a failure."""
    print(line)  # noqa: T201 - meant for whoever looks at the test


# Changes: each takes the scene as it is to another one.


def annotate(api: ApiServer, name: str, **annotations: str) -> None:
    """Set annotations of a Route, which is there."""
    found = api.get("Route", "team", name)
    assert found is not None
    found["metadata"]["annotations"].update(
        {f"{ANNOTATIONS}{key.replace('_', '-')}": v for key, v in annotations.items()}
    )
    api.update(found)


CHANGES: tuple[tuple[str, Callable[[Scene], None]], ...] = (
    ("a Route comes", lambda s: s.api.apply(*app("app0", s.ports[0], s.addresses[3]))),
    ("its pod is replaced", lambda s: s.api.apply(*endpoint_slice("app0", s.addresses[4]))),
    ("a Route comes that wants its port", lambda s: s.api.apply(*app("app1", s.ports[0], s.addresses[5]))),
    ("its port is edited", lambda s: annotate(s.api, "app0", external_tcp_port=str(s.ports[1]))),
    ("its annotation is spoiled", lambda s: annotate(s.api, "app0", balance="fairest")),
    ("it is mended", lambda s: annotate(s.api, "app0", balance="source")),
    ("a Service goes", lambda s: s.api.delete("Service", "team", "app1")),
    ("it comes back", lambda s: s.api.apply(service("app1", 7777))),
    ("a Route is deleted", lambda s: s.api.delete("Route", "team", "app0")),
)  # fmt: skip
"""In their order; after the last they can begin again."""


def nudge(scene: Scene) -> None:
    """Let something come on every stream: the pauses after faults begin small again, where they would grow to 15 s."""
    mark = str(time.monotonic_ns())
    for kind, name in (("Route", "steady0"), ("Service", "steady0"), ("EndpointSlice", "steady0-0")):
        found = scene.api.get(kind, "team", name)
        assert found is not None
        found["metadata"].setdefault("annotations", {})["example.com/nudge"] = mark
        scene.api.update(found)


# Faults: each is ordered, then a change is made at once (no stream has a look between), then the rest of it happens.


Fault = Callable[[Scene], Callable[[], None] | None]
"""Orders a fault; what it gives, if anything, sees it through and ends it."""


def cut(scene: Scene) -> None:
    """End the streams, so that what is ordered for new requests happens."""
    scene.api.faults.cut_streams()


def gone_in_stream(scene: Scene) -> None:
    """410 as an ERROR event."""
    scene.api.faults.gone_next_watch(times=3)
    cut(scene)


def gone_as_status(scene: Scene) -> None:
    """410 as the status of the answer."""
    scene.api.faults.gone_next_watch(as_status=True, times=3)
    cut(scene)


def error_events(scene: Scene) -> None:
    """ERROR events that say 500, on open streams."""
    for kind in ("Route", "Service", "EndpointSlice"):
        scene.api.faults.error_event(kind, 500)


def unauthorized_until_rotated(scene: Scene) -> Callable[[], None]:
    """401, until the router's file has the new token."""
    scene.rotate_token(tell=False)
    cut(scene)
    before = scene.seen(401)

    def rest() -> None:
        wait_for(lambda: scene.seen(401) > before, "the old token to be refused")
        scene.tell_token()

    return rest


def forbidden_until_granted(scene: Scene) -> Callable[[], None]:
    """403 for lists and watches, until it is granted."""
    for verb in ("list", "watch"):
        for resource in LIST_PATHS:
            scene.api.faults.forbid(verb, resource)
    cut(scene)
    # In this order: what is refused between the two lines makes the time longer, not shorter.
    began_s, before = time.monotonic(), scene.seen(403)

    def rest() -> None:
        # Of the three kinds one was refused three times then, and paused twice: 0.1 s and 0.2 s at least.
        wait_for(lambda: scene.seen(403) >= before + 7, "seven refusals", 60)
        assert time.monotonic() - began_s >= 0.3, "asked again without pauses"
        for verb in ("list", "watch"):
            for resource in LIST_PATHS:
                scene.api.faults.allow(verb, resource)

    return rest


def conflicts_on_status(scene: Scene) -> None:
    """409 for the writes of a status."""
    scene.api.faults.fail("PATCH", STATUSES, 409, times=3)


def busy(scene: Scene) -> None:
    """429 with Retry-After, for reads and for a write."""
    for path in LIST_PATHS.values():
        scene.api.faults.fail("GET", path, 429, retry_after=1)
    scene.api.faults.fail("PATCH", STATUSES, 429, retry_after=1)
    cut(scene)


def internal_errors(scene: Scene) -> None:
    """500, twice for each kind and for writes."""
    for path in LIST_PATHS.values():
        scene.api.faults.fail("GET", path, 500, times=2)
    scene.api.faults.fail("PATCH", STATUSES, 500, times=2)
    cut(scene)


def cut_events_mid_object(scene: Scene) -> None:
    """Streams that are cut in the middle of the change's event."""
    for kind in ("Route", "Service", "EndpointSlice"):
        scene.api.faults.cut_mid_object(kind)


def cut_lists_mid_object(scene: Scene) -> None:
    """Lists that are cut in the middle, after a 410."""
    for kind in ("Route", "Service", "EndpointSlice"):
        scene.api.faults.cut_mid_object(kind, lists=True)
    scene.api.faults.gone_next_watch(times=3)
    cut(scene)


def silence(scene: Scene) -> Callable[[], None]:
    """Streams that are open and say nothing."""
    scene.api.faults.silence()
    before = scene.router.ports()

    def rest() -> None:
        assert scene.router.ports() == before, "a stream that is silent tells nothing"
        scene.api.faults.silence(on=False)

    return rest


def slow_bytes(scene: Scene) -> Callable[[], None]:
    """Lists and streams at 5 kB a second."""
    scene.api.faults.slow(5_000)
    scene.api.faults.gone_next_watch(times=3)
    cut(scene)

    def rest() -> None:
        # Level while it is slow, not after.
        scene.level().wait()
        scene.api.faults.slow(None)

    return rest


def refused(scene: Scene) -> Callable[[], None]:
    """A server that is down, until the router says so."""
    scene.api.faults.refuse_connections()

    def rest() -> None:
        scene.wait_for_api(connected=False)
        scene.api.faults.refuse_connections(on=False)

    return rest


def history_expired(scene: Scene) -> None:
    """A resourceVersion that is known no more."""
    cut(scene)
    scene.api.expire_history()


FAULTS: tuple[Fault, ...] = (
    forbidden_until_granted, gone_in_stream, gone_as_status, error_events, unauthorized_until_rotated, conflicts_on_status,
    busy, internal_errors, history_expired, cut_lists_mid_object, silence, slow_bytes, refused, cut_events_mid_object,
)  # fmt: skip


@pytest.mark.timeout(400)
def test_each_fault_in_turn(scene: Scene) -> None:
    """Whatever is wrong with the API server while something changes, the change arrives, and nothing else is felt."""
    with Watchman(scene.router) as watchman:
        held(scene, watchman)
        for turn, fault in enumerate(FAULTS):
            began_s = time.monotonic()
            what, change = CHANGES[turn % len(CHANGES)]
            log(f"{fault.__name__}, while {what}")
            with scene.api.storage.changed:
                rest = fault(scene)
                change(scene)
            if rest is not None:
                rest()
            nudge(scene)
            scene.level().wait()
            scene.wait_for_api(connected=True)
            watchman.check()
            log(f"  level after {time.monotonic() - began_s:.1f} s")
        assert watchman.looks > len(FAULTS)


# The same at random.


def patch_fails(status: int) -> Fault:
    """Let writes fail."""
    return lambda s: s.api.faults.fail("PATCH", "", status, times=2, retry_after=1 if status == 429 else None)


RANDOM_FAULTS: tuple[Fault, ...] = (
    gone_in_stream, gone_as_status, error_events, conflicts_on_status, busy, internal_errors, cut_events_mid_object,
    cut_lists_mid_object, history_expired, cut, patch_fails(409), patch_fails(429), patch_fails(500),
    lambda s: s.api.bookmark(),
    lambda s: s.rotate_token(),
    lambda s: s.api.faults.fail("GET", "", 401, times=2),
    lambda s: s.api.faults.fail("GET", "", 403, times=2),
)  # fmt: skip

LASTING_FAULTS: tuple[tuple[Fault, Fault], ...] = (
    (lambda s: s.rotate_token(tell=False), lambda s: s.tell_token()),
    (lambda s: s.api.faults.forbid("watch", "endpointslices"), lambda s: s.api.faults.allow("watch", "endpointslices")),
    (lambda s: s.api.faults.silence(), lambda s: s.api.faults.silence(on=False)),
    (lambda s: s.api.faults.silence(everything=True), lambda s: s.api.faults.silence(on=False)),
    (lambda s: s.api.faults.slow(20_000), lambda s: s.api.faults.slow(None)),
    (lambda s: s.api.faults.refuse_connections(), lambda s: s.api.faults.refuse_connections(on=False)),
)
"""How each begins and ends; one at a time."""


def change_at_random(scene: Scene, chance: random.Random) -> None:
    """Make one change of Routes, Services or endpoints."""
    api, name = scene.api, chance.choice(NAMES)
    pods = chance.sample(scene.addresses, chance.choice((1, 1, 2)))
    match chance.choice(("route", "route", "port", "spoil", "mend", "service", "slices", "slices", "steady", "delete")):
        case "route":
            router_name = chance.choice(("tcp-router", "tcp-router", "tcp-router", "another"))
            wanted = route(name, chance.choice(scene.ports), service=chance.choice(NAMES), router_name=router_name)
            api.apply(wanted)
        case "port" if api.get("Route", "team", name):
            annotate(api, name, external_tcp_port=str(chance.choice(scene.ports)))
        case "spoil" if api.get("Route", "team", name):
            annotate(api, name, **chance.choice(({"balance": "fairest"}, {"external_tcp_port": "66x"})))
        case "mend" if api.get("Route", "team", name):
            annotate(api, name, balance="roundrobin", external_tcp_port=str(chance.choice(scene.ports)))
        case "service":
            api.apply(service(name, chance.randint(1, 9999)))
        case "slices":
            replace_slices(api, name, pods)
        case "steady":
            disturb_steady(scene, chance)
        case "delete":
            kind = chance.choice(("Route", "Route", "Service", "EndpointSlice"))
            found = [obj for obj in api.list(kind) if obj["metadata"]["name"].startswith(name)]
            for obj in found:
                api.delete(kind, "team", obj["metadata"]["name"])


def replace_slices(api: ApiServer, name: str, pods: list[Address]) -> None:
    """Let these be the pods of a Service."""
    wanted = endpoint_slice(name, *pods)
    for obj in api.list("EndpointSlice"):
        if obj["metadata"]["name"] in {f"{name}-0", f"{name}-1"}:
            api.delete("EndpointSlice", "team", obj["metadata"]["name"])
    api.apply(*wanted)


def disturb_steady(scene: Scene, chance: random.Random) -> None:
    """Change a steady Route, its Service or its endpoints in what is no reason for connections to end."""
    number = chance.randrange(len(scene.steady))
    name, own = f"steady{number}", scene.addresses[number]
    match chance.choice(("annotation", "service", "endpoint")):
        case "annotation":
            annotate(
                scene.api, name, balance=chance.choice(("leastconn", "roundrobin")), nobody_reads=str(chance.random())
            )
        case "service":
            scene.api.apply(service(name, chance.randint(1, 9999)))
        case _:
            more = {**endpoint_slice(name, chance.choice(scene.addresses))[0]}
            more["metadata"] = {**more["metadata"], "name": f"{name}-more"}
            if scene.api.get("EndpointSlice", "team", f"{name}-more") is None and own:
                scene.api.create(more)
            else:
                scene.api.delete("EndpointSlice", "team", f"{name}-more")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the test at random the time that ``--chaos-seconds`` says, and a time limit that goes with it."""
    if "chaos_s" in metafunc.fixturenames:
        chaos_s = metafunc.config.getoption("--chaos-seconds")
        metafunc.parametrize("chaos_s", [pytest.param(chaos_s, marks=pytest.mark.timeout(chaos_s + 240))])


def test_random_faults(scene: Scene, chaos_s: float) -> None:
    """Faults and changes in any order: when the faults end, all is as the objects say, and nothing that should live was cut."""
    chance = random.Random(SEED)  # noqa: S311 - to be the same each time
    log(f"seed {SEED}, {chaos_s} s")
    faults, began = 0, len(scene.api.requests)
    began_s = time.monotonic()
    with Watchman(scene.router) as watchman:
        held(scene, watchman)
        # That faults are felt at all is not left to chance.
        see_through = refused(scene)
        see_through()
        end, ends_s = LASTING_FAULTS[0][1], 0.0
        while time.monotonic() < began_s + chaos_s and not watchman.failed.wait(chance.random() * 0.1):
            for _ in range(chance.choice((0, 1, 1, 2))):
                change_at_random(scene, chance)
            is_connected = metric(scene.router, "tcp_router_api_connected") == 1
            if time.monotonic() < ends_s:
                continue
            end(scene)
            if chance.random() > (0.2 if is_connected else 0.01):
                # Mostly one after another: else all of it would be one outage, with pauses of up to 15 s.
                continue
            faults += 1
            if chance.random() < 0.4:
                begin, end = chance.choice(LASTING_FAULTS)
                begin(scene)
                ends_s = time.monotonic() + chance.uniform(0.1, 1.5)
            else:
                chance.choice(RANDOM_FAULTS)(scene)
        watchman.check()
        scene.tell_token()
        scene.api.faults.clear()
        scene.level().wait()
        scene.wait_for_api(connected=True)
        lasted_s = time.monotonic() - began_s
        asked = len(scene.api.requests) - began
        log(f"{faults} faults, {asked} requests in {lasted_s:.0f} s, {watchman.looks} looks")
        watchman.check()
    assert watchman.looks > chaos_s
    assert asked < REQUESTS_PER_S * lasted_s


# The start.


def is_watched(api: ApiServer, kind: str) -> bool:
    """Whether a watch of this kind was ever begun."""
    return any(request.path == LIST_PATHS[kind] and "watch" in request.query for request in api.requests)


@pytest.mark.parametrize("kind", LIST_PATHS)
def test_nothing_is_served_before_every_kind_was_read(tmp_path: Path, kind: str) -> None:
    """A router that may not read one kind opens no port and is not ready, saying why; once it may, it serves."""
    (port,) = free_ports(1)
    with api_and_router(tmp_path) as (api, router, _), echo_server(address="127.0.0.2") as pod:
        api.apply(*app("db", port, (pod.address, pod.port)))
        api.faults.forbid("list", kind)
        router.launch()
        wait_for(lambda: [e for e in router.events("watch failed") if e["kind"] == kind], "the log to tell")
        # Without Routes the other two are not even begun: nobody knows yet which of them are wanted.
        for other in set() if kind == "routes" else set(LIST_PATHS) - {kind}:
            wait_for(partial(is_watched, api, other), f"{other} to be watched")
        code, body = http_get(router.http_port, "/readyz")
        assert (code, body.splitlines()[0]) == (503, "the inputs have not synced yet")
        assert f'cannot list resource "{kind}"' in body
        assert is_refused(port)
        told = next(each for each in router.events("watch failed") if each["kind"] == kind)
        assert told["cause"] == "forbidden"
        assert f'cannot list resource "{kind}"' in told["problem"]
        api.faults.allow("list", kind)
        wait_for(router.is_ready, "the router to be ready", 40)
        assert serves(port)


def test_route_api_that_comes_later(tmp_path: Path) -> None:
    """Without the Route API the router says so, and waits; when its CRD is installed, Routes are served."""
    (port,) = free_ports(1)
    with api_and_router(tmp_path) as (api, router, _), echo_server(address="127.0.0.2") as pod:
        api.has_routes = False
        router.launch()
        told, *_ = wait_for(lambda: router.events("watch failed"), "the log to tell")
        assert told["cause"] == "absent"
        assert "this cluster has no Route API" in told["problem"]
        code, body = http_get(router.http_port, "/readyz")
        assert code == 503
        assert "routes: this cluster has no Route API (route.openshift.io/v1): install the Route CRD" in body
        api.has_routes = True
        api.apply(*app("db", port, (pod.address, pod.port)))
        wait_for(lambda: serves(port), "the Route to be served", 40)
        wait_for(router.is_ready, "the router to be ready")


def test_a_server_that_is_not_verified_is_one_line_in_the_log(tmp_path: Path) -> None:
    """With insecure-skip-tls-verify the log says so once, when the router starts, however many requests follow."""
    (port,) = free_ports(1)
    with api_and_router(tmp_path) as (api, router, _), echo_server(address="127.0.0.2") as pod:
        path = tmp_path / "kubeconfig"
        config = yaml.safe_load(path.read_text())
        config["clusters"][0]["cluster"] = {"server": api.url, "insecure-skip-tls-verify": True}
        path.write_text(yaml.safe_dump(config))
        router.start()
        api.apply(*app("db", port, (pod.address, pod.port)))
        wait_for(lambda: serves(port), "the Route to be served")
        (told,) = router.events("the api server's certificate is not verified")
        assert told["server"] == api.url
        assert "InsecureRequestWarning" not in router.log()
