"""What goes wrong around the router: processes are killed, streams cut, ports taken, templates spoiled."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from router.errors import HaproxyError
from router.haproxy.process.binary import OLDEST
from router.haproxy.process.descriptors import LEAST_CONNECTIONS, Haproxy, needed
from tests.support.chaos import processes
from tests.support.chaos.changes import set_endpoints
from tests.support.chaos.routers import NAMESPACE
from tests.support.chaos.scene import MOVED, NAMES, Scene
from tests.support.objects import route
from tests.support.waiting import wait_for

_KILLS_PER_ROUTER = 2
"""Of HAProxy: before each further restart of it the router pauses twice as long."""
_WAITS_FOR_LEASE = 0.25
"""How often a router that was killed leaves its Lease behind: the next one writes no status for 15 s then."""
_UNTIL_LOOKED_S = 2.5
"""The router looks once a second whether servers that were retired have lost their last connections."""
_TRIES_S = 1.5
"""How long a port is tried to be had; it is given up without harm."""


_THREADS = (
    "watch routes",
    "watch services",
    "watch endpointslices",
    "status",
    "leader election",
    "level",
    "haproxy metrics",
    "worker watch",
    "child's stderr",
)


@dataclass(frozen=True, slots=True)
class Disaster:
    """One of them."""

    happens: Callable[[Scene, random.Random], str]
    """Lets it happen, and says what did."""
    is_felt: bool = False
    """New connections to any Route may fail."""


def kill_worker(scene: Scene, _chance: random.Random) -> str:
    """Kill HAProxy's newest worker; its master ends then, too."""
    with contextlib.suppress(HaproxyError):
        scene.kill_haproxy(scene.worker())
        return "HAProxy's worker killed"
    return "no worker to kill"


def kill_master(scene: Scene, _chance: random.Random) -> str:
    """Kill HAProxy's master; its workers end by themselves."""
    scene.kill_haproxy(*processes.masters(scene.router.haproxy_pids()))
    return "HAProxy's master killed"


def kill_all(scene: Scene, _chance: random.Random) -> str:
    """Kill all of HAProxy at once, as running out of memory does."""
    scene.kill_haproxy(*scene.router.haproxy_pids())
    return "all of HAProxy killed"


def kill_old_worker(scene: Scene, chance: random.Random) -> str:
    """Kill a worker that was replaced, with the connections that it still has."""
    with contextlib.suppress(HaproxyError):
        if old := scene.old_workers():
            killed = old[chance.randrange(len(old))]
            scene.let_go_of_worker(killed)
            processes.kill(killed)
            return f"one of {len(old)} old workers killed"
    return "no old worker to kill"


def kill_router(scene: Scene, chance: random.Random) -> str:
    """Kill the router, and start it again on the same state directory: at once, or when HAProxy is gone."""
    at_once, waits = chance.random() < 0.5, chance.random() < _WAITS_FOR_LEASE
    scene.kill_router(with_lease=not waits)
    if not at_once:
        wait_for(lambda: not scene.router.haproxy_pids(), "HAProxy to end with its router")
    scene.start_router()
    return f"router killed and started {'at once' if at_once else 'after HAProxy had ended'}"


def restart_router(scene: Scene, _chance: random.Random) -> str:
    """Stop the router as a rollout does, and start it again."""
    scene.let_go_of_all()
    code = scene.router.stop()
    assert code == 0, f"the router ended with {code}"
    scene.start_router()
    return "router stopped and started"


def replace_router_beside(scene: Scene, _chance: random.Random) -> str:
    """Start another router on the same network, and let the old one end when that is ready, as an update on the host's network does."""
    code = scene.replace_router()
    assert code == 0, f"the old router ended with {code}"
    return "router replaced by one beside it"


def cut_streams(scene: Scene, chance: random.Random) -> str:
    """Cut the streams of the API server; sometimes they cannot be resumed."""
    if chance.random() < 0.5:
        scene.api.faults.gone_next_watch(times=3)
        scene.api.faults.cut_streams()
        return "streams cut, and 410 Gone"
    scene.api.faults.cut_streams()
    return "streams cut"


def kill_thread(scene: Scene, chance: random.Random) -> str:
    """Let one of the router's threads die of what nobody foresaw, wherever it is."""
    name = chance.choice((*_THREADS, f"watch {scene.template_dir}"))
    scene.router.sabotage.order(f"kill {name}")
    return f"the router's thread {name!r} killed"


def fail_turns(scene: Scene, chance: random.Random) -> str:
    """Let the next turns of the reconcile loop fail of what nobody foresaw."""
    times = chance.choice((1, 2, 3))
    scene.router.sabotage.order(f"fail {times}")
    return f"the next {times} turns of the reconcile loop fail"


def break_log(scene: Scene, chance: random.Random) -> str:
    """Let nobody read the router's log any more: for a while, or until it is started again."""
    if chance.random() < 0.5:
        scene.router.breakable_log.stall()
        return "the log is not read"
    scene.router.breakable_log.close()
    return "the log is a broken pipe"


def take_files(scene: Scene, chance: random.Random) -> str:
    """Start the router anew with fewer files for HAProxy than everything takes: without checks and pool, and sometimes without Routes."""
    haproxy = Haproxy(
        version=(*OLDEST, 0),
        threads=len(os.sched_getaffinity(0)),
        binds_per_port=1,
        max_connections=None,
        limit=0,
    )
    limit = needed(haproxy, len(scene.steady) + chance.randrange(1, 6), 0, LEAST_CONNECTIONS)
    scene.limit_files(limit)
    return f"router stopped and started; HAProxy may open {limit} files"


def good_template(scene: Scene, chance: random.Random) -> str:
    """Edit the template for Routes."""
    name = f"edit {chance.randrange(1_000_000)}"
    scene.write_template(name, f"# {name}\n{scene.own_template()}", good=True)
    return f"template: {name}"


def broken_template(scene: Scene, _chance: random.Random) -> str:
    """Let the template for Routes be no correct Jinja."""
    scene.write_template("broken", scene.own_template() + "{% if %}", good=False)
    return "template broken"


def failing_template(scene: Scene, chance: random.Random) -> str:
    """Let the template fail on a Route, just after a change that is not on disk yet."""
    _change_pods(scene, chance)
    name = chance.choice(NAMES)
    text = scene.own_template() + f'{{% if route.route in ("{name}", "steady1") %}}{{{{ nothing }}}}{{% endif %}}'
    scene.write_template("failing", text, good=False)
    return "template that fails on Routes"


def refused_template(scene: Scene, chance: random.Random) -> str:
    """Let HAProxy refuse what the template makes, just after a change that is not on disk yet."""
    _change_pods(scene, chance)
    scene.write_template("refused", scene.own_template() + "  no-such-keyword\n", good=False)
    return "template that HAProxy refuses"


def refused_template_and_kill(scene: Scene, chance: random.Random) -> str:
    """The same, and HAProxy is killed before anybody mends it."""
    return f"{refused_template(scene, chance)}, {kill_master(scene, chance)}"


def take_closed_port(scene: Scene, chance: random.Random) -> str:
    """Let another process listen on ports of the pool while they are closed; then Routes ask for them."""
    ports = chance.sample(scene.pool, 2)
    name = chance.choice(NAMES)
    taken = [port for port in ports if scene.take_port(port)]
    scene.api.apply(route(name, ports[0]))
    return f"others try to listen on {ports}, and do on {taken}; Route {name} asks for port {ports[0]}"


def take_port_of_dead_haproxy(scene: Scene, chance: random.Random) -> str:
    """Let another process take a port that a Route has while HAProxy is dead."""
    port = chance.choice((*scene.ports, scene.sni_port, *(port for port, _ in scene.steady.values())))
    scene.kill_haproxy(*scene.router.haproxy_pids())
    return f"all of HAProxy killed; another process tries to take port {port}: {_took(scene, port)}"


def take_port_of_dead_router(scene: Scene, chance: random.Random) -> str:
    """The same, while the router is dead."""
    port = chance.choice((*scene.ports, scene.sni_port, *(port for port, _ in scene.steady.values())))
    scene.kill_router(with_lease=chance.random() >= _WAITS_FOR_LEASE)
    took = _took(scene, port)
    scene.start_router()
    return f"router killed and started; another process tries to take port {port}: {took}"


def roll_pods(scene: Scene, chance: random.Random) -> str:
    """Replace the pod that a connection is held to; then nothing happens until the router has looked after its server."""
    former, new = chance.sample(scene.addresses, 2)
    set_endpoints(scene, MOVED, [former], ["ready"])
    scene.router.wait_for_row(
        f"{NAMESPACE}/{MOVED}",
        lambda row: [(server["address"], server["port"]) for server in row["servers"]] == [former],
        "led to one pod",
    )
    scene.hold(scene.moved_port, None)
    set_endpoints(scene, MOVED, [new], ["ready"])
    time.sleep(_UNTIL_LOOKED_S)
    return f"Route {MOVED} led from {scene.pods[former]!r}, to which a connection is held, to {scene.pods[new]!r}"


def _change_pods(scene: Scene, chance: random.Random) -> None:
    set_endpoints(scene, MOVED, pods := chance.sample(scene.addresses, 2), ["ready"] * len(pods))


def _took(scene: Scene, port: int) -> bool:
    ends_s = time.monotonic() + _TRIES_S
    while not (took := scene.take_port(port)) and time.monotonic() < ends_s:
        pass
    return took


OF_HAPROXY = (kill_worker, kill_master, kill_all, refused_template_and_kill, take_port_of_dead_haproxy)
"""What HAProxy dies of, with its router alive."""

OF_ROUTER = (kill_router, restart_router, replace_router_beside, take_port_of_dead_router, take_files)
"""After which another one runs."""

DISASTERS: tuple[Disaster, ...] = (
    *(Disaster(each, is_felt=True) for each in OF_HAPROXY),
    *(Disaster(each, is_felt=True) for each in OF_ROUTER),
    # Where a port is taken in the moment between look and load, all listeners pause for two seconds.
    Disaster(take_closed_port, is_felt=True),
    *(Disaster(each) for each in (kill_old_worker, cut_streams, good_template, roll_pods)),
    *(Disaster(each) for each in (kill_thread, fail_turns, break_log)),
    *(Disaster(each) for each in (broken_template, failing_template, refused_template)),
)


def in_turn(seed: object) -> tuple[Disaster, ...]:
    """Give each of them once, in an order of this seed: HAProxy is killed a few times in the life of a router only."""
    rest = list(DISASTERS)
    random.Random(f"{seed} disasters").shuffle(rest)  # noqa: S311 -- to be the same each time
    order: list[Disaster] = []
    kills = 0
    while rest:
        fits = [d for d in rest if d.happens not in OF_HAPROXY or kills < _KILLS_PER_ROUTER]
        chosen = fits[0] if fits else rest[0]
        rest.remove(chosen)
        order.append(chosen)
        if chosen.happens in OF_HAPROXY:
            kills += 1
        elif chosen.happens in OF_ROUTER:
            kills = 0
    return tuple(order)
