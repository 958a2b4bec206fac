"""Turns that raise what nobody foresaw: HAProxy serves on, and everything is decided anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from router.admission import Admission
from router.objects.route import Route
from router.objects.store import Store
from router.observe.health import FAILED_TURNS, Health, alive
from router.plan import ReloadCause
from router.reconcile.apply import Applier
from router.reconcile.revival import Revival
from router.reconcile.set_aside import Asides
from router.reconcile.timing import Timing
from router.render import Renderer
from tests.support.stage import Stage, asker, key, route
from tests.support.waiting import wait_for

_QUICK = Timing(
    reload_interval_s=0, gather_s=(0, 0), port_retry_s=0, refused_retry_s=(0, 0), failure_retry_s=(0.01, 0.05)
)
_SLOW = Timing(reload_interval_s=0, gather_s=(0, 0), port_retry_s=0, refused_retry_s=(0, 0), failure_retry_s=(1e6, 1e6))


@contextmanager
def _running(directory: Path, timing: Timing = _QUICK) -> Iterator[Stage]:
    """A stage whose loop turns by itself, with the Route ``a`` on 7001."""
    stage = Stage(directory, timing)
    stage.store.put(route("a", 7001))
    stage.store.mark_synced("test")
    thread = threading.Thread(target=stage.controller.run)
    thread.start()
    try:
        wait_for(lambda: stage.haproxy.loads and stage.controller.snapshot.configured, "the start")
        yield stage
    finally:
        stage.controller.end()
        thread.join(20)
        stage.close()
    assert not thread.is_alive()
    assert stage.haproxy.is_stopped


class _Fault:
    """Raises in the place of a method, so often."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.times = 0
        self.raised = 0
        self.after = False
        """Whether the method does its work first."""
        method: Callable[..., Any] = getattr(owner, name)

        def replaced(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs) if self.after else None
            if self.times > 0:
                self.times -= 1
                self.raised += 1
                raise ZeroDivisionError("nobody thought of it")
            return result if self.after else method(*args, **kwargs)

        monkeypatch.setattr(owner, name, replaced)


def _health(stage: Stage) -> Health:
    controller = stage.controller
    return alive(controller.snapshot, turned_ago_s=0, answered_ago_s=0, failed_turns=controller.failed_turns)


_PLACES = [
    (Store, "take"),
    (Admission, "update"),
    (Admission, "_conclude"),
    (Asides, "__bool__"),
    (Renderer, "render"),
    (Renderer, "text"),
    (Applier, "apply"),
    (Applier, "update"),
    (Revival, "look"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize(("owner", "name"), _PLACES, ids=lambda value: getattr(value, "__name__", value))
def test_loop_goes_on_wherever_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, times: int, *, after: bool
) -> None:
    """Whatever raises, before or after its work was done, once or more often: at the end all is served, and nothing was stopped."""
    with _running(tmp_path) as stage:
        fault = _Fault(monkeypatch, owner, name)
        fault.after = after
        fault.times = times
        stage.store.put(route("b", 7002))
        stage.store.delete(type(route("a", 7001)), key("a"))
        stage.store.put(route("c", 7003))
        wait_for(lambda: set(stage.controller.snapshot.verdicts) == {asker("b"), asker("c")}, "the verdicts")
        wait_for(lambda: stage.haproxy.serves == {7002, 7003}, "the ports")
        wait_for(lambda: stage.controller.failed_turns == 0, "turns that go well")
        assert not stage.haproxy.is_stopped
        # What admission raises after a turn that failed is dealt with in the turn.
        assert stage.witness.failed_turns <= fault.raised
        assert owner is Admission or stage.witness.failed_turns == fault.raised
        assert stage.controller.snapshot.problem == ""
        assert set(stage.witness.reported[-1][0].verdicts) == {asker("b"), asker("c")}


def test_failure_is_told_and_haproxy_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[structlog.typing.EventDict]
) -> None:
    """While turns fail, there is a traceback for each, what is published says so, and HAProxy has what it had."""
    with _running(tmp_path) as stage:
        fault = _Fault(monkeypatch, Admission, "update")
        fault.times = 10_000
        loads = len(stage.haproxy.loads)
        stage.store.put(route("b", 7002))
        wait_for(lambda: stage.controller.failed_turns >= FAILED_TURNS and not _health(stage).ok, "a failing health")
        (problem,) = _health(stage).problems
        assert "turns of the reconcile loop in a row failed: ZeroDivisionError" in problem
        assert stage.controller.snapshot.configured
        assert stage.controller.snapshot.problem
        assert len(stage.haproxy.loads) == loads
        assert not stage.haproxy.is_stopped
        fault.times = 0
        wait_for(lambda: _health(stage).ok and stage.haproxy.serves == {7001, 7002}, "all to be well")
    told = [line for line in logged if line["event"] == "turn failed"]
    assert len(told) >= FAILED_TURNS
    assert all(isinstance(line["exc_info"], ZeroDivisionError) for line in told)


def test_one_failure_does_not_fail_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decided anew with success is no reason to end the router."""
    with _running(tmp_path, _SLOW) as stage:
        fault = _Fault(monkeypatch, Admission, "update")
        fault.times = 1
        stage.store.put(route("b", 7002))
        wait_for(lambda: stage.controller.failed_turns == 1 and stage.witness.failed_turns == 1, "the failure")
        assert _health(stage).ok


def test_haproxy_that_dies_in_a_pause_is_brought_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause after a failed turn does not keep HAProxy down."""
    with _running(tmp_path, _SLOW) as stage:
        fault = _Fault(monkeypatch, Admission, "update")
        fault.times = 1
        stage.store.put(route("b", 7002))
        wait_for(lambda: stage.witness.failed_turns == 1, "the failure")
        stage.haproxy.exit_code = 137
        stage.haproxy.is_down = True
        wait_for(lambda: stage.witness.ends == 1 and stage.haproxy.serves == {7001, 7002}, "HAProxy to be back")


def test_what_runs_is_not_trusted_after_a_failure_in_the_midst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the failure came while HAProxy was changed, a reload makes it so; where it came before that, none is needed."""
    with _running(tmp_path) as stage:
        before = _Fault(monkeypatch, Admission, "update")
        before.times = 1
        stage.store.put(route("a", 7004))
        wait_for(lambda: before.raised and stage.haproxy.serves == {7004}, "the port")
        assert ReloadCause.TURN_FAILED not in {cause for _, causes in stage.witness.results for cause in causes}
        midst = _Fault(monkeypatch, Applier, "apply")
        midst.times, midst.after = 1, True
        stage.store.put(route("a", 7005))
        wait_for(lambda: midst.raised and stage.controller.snapshot.applied is not None, "to be level")
        wait_for(lambda: stage.witness.results[-1] == ("success", frozenset({ReloadCause.TURN_FAILED})), "the reload")
        assert stage.haproxy.serves == {7005}


def test_store_loses_nothing_that_it_could_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrived before something failed is taken with the next turn, and newer objects win."""
    store = Store()
    fault = _Fault(monkeypatch, Store, "_move")
    fault.times = 1
    store.put(route("a", 7001), route("b", 7002))
    with pytest.raises(ZeroDivisionError):
        store.take()
    store.put(route("b", 7003))
    changes, arrived_s = store.take()
    assert changes.of(Route) == {key("a"), key("b")}
    assert arrived_s is not None
    assert store.objects.routes[key("b")] == route("b", 7003)
