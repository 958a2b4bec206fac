"""Chaos: rounds of random changes with one disaster in each, and after each round a look at everything.

What is decided depends on the seed alone. When it happens, and what comes of it, does not: two runs of a seed do the same
steps, and may find different things.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from router.model import RouteSection
from tests.support.chaos.changes import CHANGES, change_endpoints, change_service, comes
from tests.support.chaos.disasters import Disaster, in_turn
from tests.support.chaos.remains import Usage, remains
from tests.support.chaos.routers import NAMESPACE
from tests.support.chaos.scene import NAMES, Scene, made_scene
from tests.support.level import CLIENT_ADDRESSES, NO_NAME, is_in, rebuilt
from tests.support.objects import service
from tests.support.probing import Prober
from tests.support.waiting import wait_for

_HELD = 6
_LEVEL_WITHIN_S = 90.0
_CLEAN_WITHIN_S = 45.0
_AGAIN_WITHIN_S = 10.0
"""On a busy machine a look fails now and then."""
_TOLD_AFTER_S = 3.0
_LOG_LINES = 60
_PAUSES_S = (0.0, 0.0, 0.02, 0.1, 0.3, 0.6)


@dataclass(slots=True)
class Found:
    """What a run did and found."""

    seed: int
    rounds: int = 0
    steps: int = 0
    connections: int = 0
    """New ones that were answered by Routes which nothing happened to, while nothing was to be felt."""
    looks_at_held: int = 0
    slowest_s: float = 0.0
    """The longest that a round took to become level, and which it was."""
    slowest_round: str = ""
    did: list[str] = field(default_factory=list)
    problem: str = ""

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.rounds} rounds, {self.steps} steps, {self.connections} connections that had to be "
            f"answered, {self.looks_at_held} looks at held ones, level within {self.slowest_s:.1f} s ({self.slowest_round})"
        )


def run(
    directory: Path,
    seed: int,
    go_on: Callable[[int], bool],
    say: Callable[[str], None],
    haproxy: str | None = None,
) -> Found:
    """Let chaos happen.

    Args:
        directory: an empty folder, for all that the router and its HAProxy write.
        seed: decides what happens.
        go_on: is asked with the number of each round, from 0, whether it shall come.
        say: gets a line for each thing that happens.
        haproxy: the HAProxy to run; None leaves it to the router to find one.

    Returns:
        What it found; ``problem`` is empty where all was as it must be.
    """
    found = Found(seed)

    def note(line: str) -> None:
        found.did.append(line)
        say(line)

    with contextlib.ExitStack() as stack:
        try:
            scene = stack.enter_context(made_scene(directory, note, haproxy))
            usage = Usage()
            _begin(scene, seed)
            while go_on(found.rounds):
                _round(scene, usage, found)
                found.rounds += 1
        except (AssertionError, OSError) as error:
            found.problem = f"{error or repr(error)}"
        try:
            stack.close()
        except AssertionError as error:
            found.problem = found.problem or f"at the end: {error}"
    return found


def report(found: Found, directory: Path) -> str:
    """Give all that is needed to understand a problem, and to have it again."""
    # Of the routers that there were, the last.
    logs = sorted(directory.glob("router-*/log"), key=lambda path: path.stat().st_mtime)
    lines = logs[-1].read_text(encoding="utf-8", errors="replace").splitlines() if logs else []
    return "\n".join(
        [
            "",
            *found.did,
            "",
            "The router's last lines:",
            *lines[-_LOG_LINES:],
            "",
            str(found),
            f"PROBLEM: {found.problem}",
        ]
    )


def _begin(scene: Scene, seed: int) -> None:
    """Have something of everything to begin with."""
    chance = _chance(seed, "begin")
    for name in NAMES:
        scene.api.apply(service(name))
    for _ in range(12):
        scene.say(f"at first: {change_endpoints(scene, chance)}")
    for _ in range(8):
        scene.say(f"at first: {comes(scene, chance)}")
    scene.say(f"at first: {change_service(scene, chance)}")


def _round(scene: Scene, usage: Usage, found: Found) -> None:
    number = found.rounds
    disaster = _disaster(found.seed, number)
    chance = _chance(found.seed, number)
    scene.say(f"round {number}: {disaster.happens.__name__}")
    with contextlib.ExitStack() as stack:
        probers = [] if disaster.is_felt else [stack.enter_context(Prober(p, 0.01)) for p, _ in scene.steady.values()]
        if chance.random() < 0.7:
            # Else what was wrong the last time stays: a bad template, say.
            scene.mend_template()
        steps = chance.randrange(4, 12)
        strikes_at = chance.randrange(steps)
        for step in range(steps):
            _step(scene, _chance(found.seed, number, step), disaster if step == strikes_at else None)
            found.steps += 1
            _look_at_held(scene, found)
        _calm(scene, usage, found)
        for prober in probers:
            assert not prober.failures, (
                f"new connections to a Route that nothing happened to failed: {prober.failures[:5]}"
            )
            found.connections += prober.succeeded
    _hold(scene, chance)


def _step(scene: Scene, chance: random.Random, disaster: Disaster | None) -> None:
    if disaster is not None:
        scene.say(f"  ! {disaster.happens(scene, chance)}")
    else:
        scene.say(f"  - {chance.choice(CHANGES)(scene, chance)}")
    # Not to wait for anything: changes that come together, and one after another, are different things.
    time.sleep(chance.choice(_PAUSES_S))


def _calm(scene: Scene, usage: Usage, found: Found) -> None:
    began_s = time.monotonic()
    scene.free_ports()
    scene.api.faults.clear()
    scene.router.breakable_log.resume()
    scene.give_files_back()
    _nudge(scene)
    wait_for(scene.router.is_ready, "the router to be ready", _LEVEL_WITHIN_S)
    level = scene.level()
    _wait_for_nothing(scene, level.differences, "not level", _LEVEL_WITHIN_S)
    took_s = time.monotonic() - began_s
    if took_s > found.slowest_s:
        found.slowest_s, found.slowest_round = took_s, f"round {found.rounds}"
    _wait_for_nothing(scene, lambda: remains(scene, usage), "not clean", _CLEAN_WITHIN_S)
    # And so it stays.
    _wait_for_nothing(scene, level.differences, "not level any more", _AGAIN_WITHIN_S)
    _look_at_held(scene, found)
    scene.say(f"  calm: level after {took_s:.1f} s, clean after {time.monotonic() - began_s:.1f} s")


def _wait_for_nothing(scene: Scene, look: Callable[[], list[str]], what: str, deadline_s: float) -> None:
    began_s = time.monotonic()
    told_s = began_s + _TOLD_AFTER_S
    while seen := _seen(look):
        now_s = time.monotonic()
        assert now_s < began_s + deadline_s, "\n".join([f"{what} within {deadline_s:g} s:", *seen])
        if now_s > told_s:
            scene.say(f"  {what} after {now_s - began_s:.1f} s: {seen[0]}")
            told_s = now_s + _TOLD_AFTER_S
        time.sleep(0.1)


def _seen(look: Callable[[], list[str]]) -> list[str]:
    try:
        return look()
    except OSError as error:
        return [repr(error)]


def _nudge(scene: Scene) -> None:
    """Let something come on every stream: the pauses after faults begin small again, where they would grow to 15 s."""
    mark = str(time.monotonic_ns())
    for kind, name in (("Route", "steady0"), ("Service", "steady0"), ("EndpointSlice", "steady0-0")):
        obj = scene.api.get(kind, NAMESPACE, name)
        assert obj is not None
        obj["metadata"].setdefault("annotations", {})["example.com/nudge"] = mark
        scene.api.update(obj)


def _look_at_held(scene: Scene, found: Found) -> None:
    problems = [problem for held in scene.held if (problem := held.problem())]
    assert not problems, "\n".join(problems)
    found.looks_at_held += len(scene.held)


def _hold(scene: Scene, chance: random.Random) -> None:
    """End some of the held connections, and hold others to what is served now."""
    fate = [chance.random() for _ in range(_HELD)]
    for held, luck in zip(list(scene.held), fate, strict=False):
        if luck < 0.3:
            scene.let_go(held)
    model = rebuilt(scene.api, scene.admission, scene.default_certificate()).model
    sections = {section.backend.name: section for section in model.routes}
    doors: list[tuple[int, str | None]] = [
        (section.frontend.port, NO_NAME if section.frontend.tls is not None else None)
        for section in model.routes
        if section.frontend and _answers(section)
    ]
    doors += [
        (port.port, host.host) for port in model.shared for host in port.hosts if _answers(sections[host.backend])
    ]
    for luck in fate[len(scene.held) :]:
        # Every second to the Route whose pods come and go, if it has one now.
        is_moved = luck < 0.5 and (scene.moved_port, None) in doors
        port, host = (scene.moved_port, None) if is_moved else doors[int(luck * len(doors))]
        scene.hold(port, f"any{host}" if host is not None and host.startswith(".") else host)


def _answers(section: RouteSection) -> bool:
    allowlist = section.backend.allowlist
    lets_in = allowlist is None or is_in(CLIENT_ADDRESSES[0], allowlist)
    return lets_in and any(server.weight > 0 for server in section.backend.servers)


def _disaster(seed: int, number: int) -> Disaster:
    order = in_turn(f"{seed} 0")
    return in_turn(f"{seed} {number // len(order)}")[number % len(order)]


def _chance(*of: object) -> random.Random:
    return random.Random(" ".join(map(str, of)))  # noqa: S311 -- to be the same each time
