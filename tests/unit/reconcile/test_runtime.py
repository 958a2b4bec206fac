"""The loop and changes without a reload: when they are made, what becomes of those that HAProxy refuses, and what waits for what."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import structlog

from router.admission.verdicts import Reason
from router.errors import HaproxyUnreachable
from router.objects.discovery import EndpointSlice
from router.objects.route import Route
from router.plan import ReloadCause
from router.reconcile.state_dir import StateDir
from router.settings import PortRanges
from tests.support.stage import AT_ONCE, NEVER_AGAIN, PREFIX, Stage, key, route, start
from tests.support.waiting import wait_for
from tests.unit.admission.builders import endpoint_slice, service

_POOL = PortRanges.parse("7001-7009")
_SERVICE = service("nothing", namespace="team")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage with a port pool, on which everything is tried again at once, except Routes that HAProxy refused."""
    stage = Stage(tmp_path, AT_ONCE, _POOL)
    yield stage
    stage.close()


@pytest.fixture
def slow_stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage with a port pool, on which there is one reload only."""
    stage = Stage(tmp_path, NEVER_AGAIN, _POOL)
    yield stage
    stage.close()


def slice_of(*addresses: str) -> EndpointSlice:
    """Make the slice of the Service that all Routes of a stage lead to."""
    return endpoint_slice(*addresses, service="nothing", namespace="team")


def with_balance(name: str, port: int, balance: str) -> Route:
    """Make a Route that asks for what only a reload can give."""
    made = route(name, port)
    annotations = {**(made.metadata.annotations or {}), f"{PREFIX}balance": balance}
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, annotations=annotations))


def opened(stage: Stage) -> list[str]:
    """Give the ports that were opened by commands, in order."""
    return [text.rpartition(":")[2] for text in stage.haproxy.commands if text.startswith("enable frontend")]


def test_route_on_a_pool_port_is_no_reload(slow_stage: Stage) -> None:
    """It is served in the turn that sees it, its verdict is out, and the snapshot tells whose the place is."""
    start(slow_stage)
    slow_stage.store.put(route("a", 7001))
    slow_stage.turn()
    assert opened(slow_stage) == ["7001"]
    assert len(slow_stage.haproxy.loads) == 1
    assert slow_stage.verdicts() == {"a": None}
    assert slow_stage.controller.snapshot.owners == {"pool:7001": "be_tcp:team:a"}
    assert slow_stage.witness.updates == ["success"]
    assert slow_stage.witness.served == 1


def test_haproxy_is_connected_to_while_it_is_decided_what_changes(stage: Stage) -> None:
    """Not for what changes nothing; no connection is kept, and none leads to a worker that a reload replaces."""
    start(stage)
    assert stage.haproxy.connections == 0
    stage.store.put(route("a", 7001))
    stage.turn()
    assert (stage.haproxy.connections, stage.haproxy.is_connected) == (1, False)
    written = msgspec.structs.replace(route("a", 7001).metadata, resource_version="2")
    stage.store.put(msgspec.structs.replace(route("a", 7001), metadata=written))
    stage.turn()
    assert stage.haproxy.connections == 1
    stage.store.put(route("b", 9999))
    stage.turn()
    assert len(stage.haproxy.loads) == 2
    assert (stage.haproxy.connections, stage.haproxy.is_connected) == (2, False)


def test_refused_command_is_a_reload(stage: Stage, logged: list[structlog.typing.EventDict]) -> None:
    """HAProxy does not answer as it should: nothing is known of it any more, and a reload in the same turn mends it."""
    start(stage)
    stage.haproxy.refused_commands = {"enable frontend"}
    stage.store.put(route("a", 7001))
    stage.turn()
    assert stage.witness.updates == ["failed"]
    assert [causes for _, causes in stage.witness.results][1:] == [frozenset({ReloadCause.RUNTIME_REFUSED})]
    assert 7001 in stage.haproxy.serves
    assert stage.verdicts() == {"a": None}
    assert stage.controller.snapshot.owners == {}
    assert [line["consequence"] for line in logged if line["event"] == "runtime update failed"] == ["reload"]


def test_worker_that_is_gone_is_a_reload(stage: Stage) -> None:
    """No answer to commands is treated as a wrong one."""
    start(stage, route("a", 7001))
    stage.haproxy.command_error = HaproxyUnreachable("nobody")
    stage.store.put(route("b", 7002))
    stage.turn()
    stage.haproxy.command_error = None
    stage.turn()
    assert stage.witness.updates == ["failed"]
    assert stage.witness.results[-1] == ("success", frozenset({ReloadCause.RUNTIME_REFUSED}))
    assert stage.verdicts() == {"a": None, "b": None}


def test_foreign_listener_on_a_pool_port_costs_its_claimant_only(stage: Stage) -> None:
    """It is looked at before HAProxy opens it, which would share it with whoever has SO_REUSEPORT; nobody pays a reload for it."""
    start(stage, route("a", 7001))
    stage.haproxy.taken_ports = {7002}
    stage.store.put(route("b", 7002), route("c", 7003))
    stage.turn()
    assert stage.verdicts() == {"a": None, "b": Reason.PORT_UNAVAILABLE, "c": None}
    assert "7002" not in opened(stage)
    assert len(stage.haproxy.loads) == 1
    stage.haproxy.taken_ports = set()
    stage.turn()
    assert stage.verdicts()["b"] is None
    assert "7002" in opened(stage)
    assert len(stage.haproxy.loads) == 1


def test_port_taken_while_haproxy_was_dead_is_not_shared(stage: Stage) -> None:
    """A restart on the configuration that is on disk would bind beside the new owner; so the way of a first start is taken."""
    start(stage, route("a", 7001), route("b", 7100))
    stage.haproxy.taken_ports = stage.haproxy.unnoticed_ports = set()
    stage.haproxy.exit_code = 1
    stage.haproxy.taken_ports = {7100}
    stage.turn()
    assert stage.haproxy.restarts == 0
    assert stage.verdicts() == {"a": None, "b": Reason.PORT_UNAVAILABLE}


def test_reload_interval_does_not_delay_what_needs_no_reload(slow_stage: Stage) -> None:
    """Beside a Route that waits for its reload, a Route on a pool port and endpoints are served at once."""
    start(slow_stage, _SERVICE, route("a", 7100))
    slow_stage.store.put(route("waits", 7101))
    slow_stage.turn()
    assert slow_stage.haproxy.commands[9:] == []
    slow_stage.store.put(route("b", 7001), slice_of("10.1.0.1"))
    slow_stage.turn()
    assert opened(slow_stage) == ["7001"]
    assert [text for text in slow_stage.haproxy.commands if text.startswith("add server be_tcp:team:a/")]
    assert len(slow_stage.haproxy.loads) == 1
    applied = slow_stage.controller.snapshot.applied
    assert applied is not None
    assert [section.route for section in applied.routes] == ["a", "b"]
    sent = len(slow_stage.haproxy.commands)
    slow_stage.turn()
    assert len(slow_stage.haproxy.commands) == sent


def test_flapping_route_does_not_starve_others(slow_stage: Stage) -> None:
    """One that asks for a reload again and again waits; every other that comes in between is served in its turn."""
    start(slow_stage, with_balance("flaps", 7100, "source"))
    for number in range(1, 6):
        slow_stage.store.put(
            with_balance("flaps", 7100, ("random", "source")[number % 2]), route(f"r{number}", 7000 + number)
        )
        slow_stage.turn()
        assert opened(slow_stage) == [str(7000 + n) for n in range(1, number + 1)]
    assert len(slow_stage.haproxy.loads) == 1


def test_retired_servers_are_deleted_and_busy_ones_asked_again(stage: Stage) -> None:
    """One that still has connections stays on the list, and nothing waits for it; when all are gone nobody is asked any more."""
    start(stage, _SERVICE, slice_of("10.1.0.1", "10.1.0.2"), route("a", 7001))
    servers = [f"pod:10.1.0.{n}:nothing:pg:10.1.0.{n}:5432" for n in (1, 2)]
    stage.haproxy.busy = {("be_tcp:team:a", name) for name in servers}
    stage.store.put(slice_of("10.1.0.3"))
    stage.turn()
    retired = [text.split()[2].partition("/") for text in stage.haproxy.commands if text.endswith("state maint")]
    names = {(backend, name) for backend, _, name in retired}
    assert len(names) == 2
    assert names == stage.haproxy.busy
    stage.haproxy.busy = {min(names)}

    def asked_often_enough() -> bool:
        stage.turn()
        return stage.haproxy.asked_if_idle.count(min(names)) >= 3

    wait_for(asked_often_enough, "the second look")
    assert stage.haproxy.asked_if_idle.count(max(names)) < 3
    stage.haproxy.busy = set()

    def has_nothing_to_do() -> bool:
        stage.turn()
        return stage.controller.pause_s() == 1.0

    wait_for(has_nothing_to_do, "nothing left to delete")
    assert len(stage.haproxy.loads) == 1


def test_first_start_needs_no_check(stage: Stage) -> None:
    """A HAProxy that does not run yet is started on the configuration: nothing can be harmed by one that it refuses."""
    stage.haproxy.is_down = True
    start(stage, route("a", 7001))
    assert len(stage.haproxy.checked) == 0
    assert 7001 in stage.haproxy.serves
    assert stage.verdicts() == {"a": None}


def test_first_start_that_haproxy_refuses_is_judged(stage: Stage) -> None:
    """Then the check finds out whose fault it is; the others are served, in the same turn."""
    stage.haproxy.is_down = True
    stage.haproxy.refused = {"team:bad"}
    start(stage, route("good", 7001), route("bad", 7002))
    assert len(stage.haproxy.checked) > 0
    assert stage.verdicts() == {"good": None, "bad": Reason.CONFIG_REJECTED}
    assert "team:bad" not in stage.haproxy.loads[-1]


def test_second_start_is_judged_first(stage: Stage) -> None:
    """What was refused once is not tried blindly again."""
    stage.haproxy.is_down = True
    stage.haproxy.refused = {"global"}
    start(stage, route("a", 7001))
    loads = len(stage.haproxy.loads)
    stage.turn()
    assert len(stage.haproxy.loads) == loads == 1


def test_killed_haproxy_comes_back_with_what_is_on_disk(stage: Stage) -> None:
    """What a Route got at runtime is on disk soon, and a HAProxy that is started anew has it: nothing is left to do."""
    start(stage)
    stage.store.put(route("a", 7001))
    stage.turn()
    wait_for(lambda: "be_tcp:team:a" in stage.haproxy.config.read_text(), "the file to be level")
    wait_for(lambda: stage.level.on_disk is not None and stage.level.on_disk.model.routes, "the file to be known")
    commands = len(stage.haproxy.commands)
    stage.haproxy.exit_code = 137
    stage.turn()
    assert stage.haproxy.restarts == 1
    assert len(stage.haproxy.loads) == 1
    assert opened(stage) == ["7001"]
    closed = stage.haproxy.commands[commands:]
    assert closed == [f"disable frontend fe_tcp:{port}" for port in range(7002, 7010)]
    assert stage.verdicts() == {"a": None}
    assert stage.controller.snapshot.owners == {}


def test_haproxy_killed_before_the_disk_was_level_is_brought_level(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back with what was on disk, and gets the rest by commands again."""

    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    start(stage)
    monkeypatch.setattr(StateDir, "write_level", full)
    stage.store.put(route("a", 7001))
    stage.turn()
    stage.haproxy.exit_code = 137
    stage.turn()
    assert stage.haproxy.restarts == 1
    assert opened(stage) == ["7001", "7001"]
    assert len(stage.haproxy.loads) == 1
    assert stage.controller.snapshot.owners == {"pool:7001": "be_tcp:team:a"}


def test_change_that_was_lost_with_haproxy_is_not_written_later(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited for the disk when HAProxy died, and is wanted no more, stays off it, also after a reload that fails."""
    write = StateDir.write_level

    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    start(stage, route("a", 7001))
    monkeypatch.setattr(StateDir, "write_level", full)
    stage.store.put(route("gone", 7002))
    stage.turn()
    stage.haproxy.exit_code = 137
    stage.store.delete(Route, key("gone"))
    stage.turn()
    monkeypatch.setattr(StateDir, "write_level", write)
    stage.haproxy.check_error = HaproxyUnreachable("no answer")
    stage.store.put(route("b", 7100))
    stage.turn()
    stage.haproxy.check_error = None
    stage.level.stop()
    assert "team:gone" not in stage.haproxy.config.read_text()


def test_templates_that_wait_do_not_delay_what_needs_no_reload(slow_stage: Stage) -> None:
    """New templates need a reload, which waits for its interval; Routes and endpoints are served with the former ones."""
    start(slow_stage)
    (slow_stage.template_dir / "route.cfg.j2").write_text(
        '{% include "packaged/route.cfg.j2" %}\n  # new\n  option tcp-check\n'
    )
    slow_stage.controller.templates_changed()
    slow_stage.store.put(route("a", 7001))
    slow_stage.turn()
    assert len(slow_stage.haproxy.loads) == 1
    assert opened(slow_stage) == ["7001"]


def test_port_changes_at_runtime_leave_the_former_one_free(stage: Stage) -> None:
    """A Route moves within the pool and back, and another takes what it left; no reload."""
    start(stage, route("a", 7001))
    for port, other in ((7002, 7001), (7003, 7002)):
        stage.store.put(route("a", port), route("b", other))
        stage.turn()
        stage.turn()
    assert stage.verdicts() == {"a": None, "b": None}
    assert stage.controller.snapshot.applied is not None
    ports = {each.route: each.frontend.port for each in stage.controller.snapshot.applied.routes if each.frontend}
    assert ports == {"a": 7003, "b": 7002}


def test_servers_that_were_retired_in_masses_are_deleted_in_masses(stage: Stage) -> None:
    """Whoever has other endpoints each moment must not have HAProxy collect them: a look tries a fifth of all, at least 200."""
    start(stage, _SERVICE, slice_of(*(f"10.1.{n // 250}.{n % 250}" for n in range(1900))), route("a", 7001))
    stage.haproxy.busy = {("be_tcp:team:a", "all")}
    stage.store.put(slice_of("10.9.0.1"))
    stage.turn()
    stage.turn()
    assert len(stage.haproxy.asked_if_idle) == 1900 // 5


def test_where_many_servers_leave_they_are_asked_about_half_as_often(stage: Stage) -> None:
    """HAProxy looks at all of its sections for each that is asked about; endpoints that move again and again have several servers there by then."""
    start(stage, _SERVICE, slice_of(*(f"10.1.0.{n}" for n in range(1, 152))), route("a", 7001))
    stage.haproxy.busy = {("be_tcp:team:a", f"pod:10.1.0.{n}:nothing:pg:10.1.0.{n}:5432") for n in range(1, 152)}
    stage.store.put(slice_of("10.9.0.1"))
    began_s = time.monotonic()
    stage.turn()
    assert len(stage.haproxy.asked_if_idle) == 151
    assert stage.controller._changer.due_s >= began_s + 2  # noqa: SLF001 - nobody else is told
