"""The loop: wait, coalesce, decide, apply, publish.

One thread runs ``Controller.run`` and owns everything from the store to HAProxy. Other threads only set flags here and wake
it. What is decided is in ``admission``, ``set_aside`` and ``plan``; how it is carried out is in ``apply``; when it is done,
and tried again, in ``pace``, ``retries`` and ``revival``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from router.admission import Admission, Outcome
from router.errors import HaproxyError
from router.haproxy.control import Control
from router.model import Model, ports
from router.objects.store import Store
from router.plan import NoChange, Plan, Reload, ReloadCause, ReloadReason, RuntimeUpdate, plan
from router.plan.running import Running
from router.reconcile.apply import Applied, Applier
from router.reconcile.deciding import Deciding
from router.reconcile.hooks import Observer, Reporter
from router.reconcile.judge import Failed, Refused
from router.reconcile.pace import ReloadPace
from router.reconcile.publishing import Publisher
from router.reconcile.retries import SetAside
from router.reconcile.revival import Revival
from router.reconcile.room import Room
from router.reconcile.set_aside import served_but_rejected, without
from router.reconcile.snapshot import Snapshot
from router.reconcile.template_choice import TemplateChoice
from router.reconcile.timing import Timing
from router.reconcile.turns import Turns
from router.reconcile.verdict_log import log_set_aside
from router.render import Renderer

log = structlog.get_logger()

_IDLE_S = 1.0
"""The loop turns at least this often, so that /healthz can tell that it does."""
_NAMED = 5  # of many things, in a log line
_FORGETS_AT = 2
"""So many failed turns in a row, and nothing that is remembered is trusted: a reload makes it so."""
_DELETE_EVERY_S = 1.0
"""Between looks whether servers that were retired have lost their last connections."""


class Controller:
    """Keeps HAProxy level with the store.

    Args:
        store: the objects.
        admission: decides what is served.
        applier: changes what HAProxy serves.
        haproxy: the process behind it.
        renderer: renders with the templates in use.
        load_templates: reads the templates anew, after ``templates_changed``; raises TemplateError.
        observer: is told what happens.
        room: decides what HAProxy does without where it may not open enough files.
        timing: when things are tried again.
        reporter: tells Routes what became of them, where that is possible.
    """

    def __init__(  # noqa: PLR0913 - the parts that meet here, and nowhere else
        self,
        *,
        store: Store,
        admission: Admission,
        applier: Applier,
        haproxy: Control,
        renderer: Renderer,
        load_templates: Callable[[], Renderer],
        observer: Observer,
        room: Room,
        timing: Timing,
        reporter: Reporter | None = None,
    ) -> None:
        self._store = store
        self._applier = applier
        self._haproxy = haproxy
        self._templates = TemplateChoice(renderer, load_templates)
        self._observer = observer
        self._publisher = Publisher(observer, reporter)
        self._room = room

        self._templates_changed = threading.Event()
        self._stopping = threading.Event()
        self._end = threading.Event()

        self._deciding = Deciding(store, admission, observer, timing.namespace_reloads)
        self._served: Outcome | None = None
        self._served_model = Model()
        self._running: Running | None = None
        self._unknown: ReloadReason | None = None
        """Why nothing is known of what runs, where that is not that it starts."""
        self._timing = timing
        self._set_aside = SetAside(
            timing.refused_retry_s, timing.port_retry_s, is_hurried=lambda: haproxy.may_become_free
        )
        self._pace = ReloadPace(timing.reload_interval_s, timing.gather_s, timing.failure_retry_s)
        self._turns = Turns(timing.failure_retry_s)
        self._is_over = False
        self._revival = Revival(haproxy, applier, observer, timing.failure_retry_s)
        self._delete_not_before_s = 0.0
        self._pending = False
        self._problem = ""
        self._last_success_s: float | None = None
        self._last_turn_s = time.monotonic()

    @property
    def snapshot(self) -> Snapshot:
        """The outcome of the last turn; any thread."""
        return self._publisher.snapshot

    @property
    def last_turn_s(self) -> float:
        """When the loop last turned (``time.monotonic``); any thread."""
        return self._last_turn_s

    @property
    def failed_turns(self) -> int:
        """How many turns in a row have raised what nobody foresaw; any thread."""
        return self._turns.failures

    @property
    def is_over(self) -> bool:
        """Whether the loop turns no more, and HAProxy is being taken down; any thread."""
        return self._is_over

    def templates_changed(self) -> None:
        """Say that the template directory is different; any thread."""
        self._templates_changed.set()
        self._store.wake()

    def begin_stop(self) -> None:
        """Say that the router will end: it is not ready any more, but goes on applying changes; any thread."""
        self._stopping.set()
        self._store.wake()

    def end(self) -> None:
        """Make ``run`` take HAProxy down and return; any thread."""
        self._end.set()
        self._store.wake()

    def run(self) -> None:
        """Turn until ``end`` is called, then take HAProxy down.

        A HAProxy that is our child dies with the thread that started it, which is this one.
        """
        try:
            self._turns.run(self, self._end)
        finally:
            # Perhaps no turn came after begin_stop: from here on new connections are refused.
            self._publisher.stopping()
            self._is_over = True
            self._haproxy.stop()

    def turn(self) -> None:
        """Bring everything level once, as far as it can be done now."""
        self._last_turn_s = time.monotonic()
        if (revived := self._revival.look()) is not None:
            self._running = revived.running
            self._pace.hurry(time.monotonic())
        if self._templates_changed.is_set():
            self._templates_changed.clear()
            if self._templates.read(self._running.sections() if self._running is not None else None):
                self._set_aside.retry_routes_now(time.monotonic())
        if self._store.is_synced and self._revival.due_s is None:
            self._apply_changes(self._deciding.take(time.monotonic()))
            self._delete_retired_servers()
        self._publish()

    def rest(self) -> None:
        """Wait until the next turn has something to do."""
        self._store.wait(self.pause_s())

    @property
    def is_needed(self) -> bool:
        """Whether HAProxy is down."""
        return self._haproxy.is_down or self._haproxy.is_awaited

    def note_failure(self, problem: str) -> None:
        """Take note that a turn raised what nobody foresaw."""
        self._problem = problem
        self._publisher.failed(problem)

    def rebuild(self, failures: int) -> None:
        """Decide everything anew in the next turn; from the second failure in a row on, without trust in what was remembered."""
        self._deciding.anew()
        if failures == _FORGETS_AT:
            self._running = None
            self._set_aside = SetAside(self._timing.refused_retry_s, self._timing.port_retry_s)
            self._pace = ReloadPace(self._timing.reload_interval_s, self._timing.gather_s, self._timing.failure_retry_s)
            self._templates.forget()
        if self._haproxy.is_down:
            # Whoever was to notice that may have failed. A load starts it.
            self._running = None
        if self._running is None and self._served is not None:
            self._unknown = ReloadReason(ReloadCause.TURN_FAILED)

    def _apply_changes(self, outcome: Outcome) -> None:
        if self._set_aside:
            self._review(outcome)
        self._pending = True
        while self._pending:
            everything = without(outcome, self._set_aside.in_force())
            wanted = self._room.within(everything, self._served_model, self._store.objects)
            match self._plan(wanted.model):
                case NoChange():
                    self._serves(wanted)
                case RuntimeUpdate() as todo:
                    if self._update(todo, wanted):
                        self._serves(wanted)
                case Reload() as todo:
                    self._pace.wants(todo.reasons, time.monotonic())
                    if time.monotonic() < self._pace.due_s:
                        if todo.meanwhile is not None:
                            self._update(todo.meanwhile, wanted)
                        break
                    if not self._room.review(everything) and not self._reload(todo, wanted):
                        break

    def _review(self, outcome: Outcome) -> None:
        served = self._served_model.routes
        if self._set_aside.review(outcome, served, ports(outcome.model), self._look, time.monotonic()):
            # Nobody answers on ports that another generation of this router has closed.
            self._pace.hurry(time.monotonic())

    def _look(self, at_ports: tuple[int, ...]) -> Mapping[int, str]:
        try:
            return self._haproxy.taken(at_ports)
        except HaproxyError as error:
            log.warning("ports not tried", ports=at_ports[:_NAMED], problem=str(error))
            return dict.fromkeys(at_ports, str(error))

    def _plan(self, desired: Model) -> Plan:
        return self._templates.try_with(plan(self._running, desired, self._templates.in_use, self._unknown))

    def _may_open(self, todo: RuntimeUpdate, wanted: Outcome) -> bool:
        """Say whether nobody else has a port that this opens; if somebody has, it is set aside."""
        try:
            refusals = self._applier.look(todo)
        except HaproxyError as error:
            # As bad as it gets, HAProxy says so itself.
            log.warning("ports not tried", problem=str(error))
            return True
        if refusals:
            log_set_aside(self._set_aside.add(refusals, wanted, time.monotonic()))
        return not refusals

    def _update(self, todo: RuntimeUpdate, wanted: Outcome) -> bool:
        """Carry out a runtime update; say whether it worked. If not, the next plan is another one."""
        if not self._may_open(todo, wanted):
            return False
        # Nothing is known of what runs until this is through.
        running, self._running = self._running, None
        if running is None:
            return False
        began_s = time.monotonic()
        try:
            self._applier.update(self._templates.in_use, running, todo)
        except HaproxyError as error:
            self._observer.runtime_updated("failed", len(todo.commands), time.monotonic() - began_s)
            log.warning("runtime update failed", problem=str(error), consequence="reload")
            self._unknown = ReloadReason(ReloadCause.RUNTIME_REFUSED)
            return False
        seconds = time.monotonic() - began_s
        self._observer.runtime_updated("success", len(todo.commands), seconds)
        self._running = todo.after
        self._last_success_s = time.time()
        return True

    def _delete_retired_servers(self) -> None:
        now_s = time.monotonic()
        if self._running is None or not self._running.leaving or now_s < self._delete_not_before_s:
            return
        self._delete_not_before_s = now_s + _DELETE_EVERY_S
        try:
            self._running = self._applier.delete_leaving(self._running)
        except HaproxyError as error:
            # They harm nobody, and are gone at the next reload.
            log.warning("retired servers not deleted", problem=str(error))

    def _reload(self, todo: Reload, wanted: Outcome) -> bool:
        """Carry out a reload.

        Returns:
            Whether to go on at once: false after a failure, which is tried again later.
        """
        began_s = time.monotonic()
        # As in an update.
        former, self._running = self._running, None
        result = self._applier.apply(self._templates.renderer, wanted.model, former)
        seconds = time.monotonic() - began_s
        causes = frozenset(reason.cause for reason in todo.reasons)
        self._deciding.reloaded(todo.reasons, time.monotonic())
        match result:
            case Applied(running):
                self._observer.reload_finished("success", causes, seconds)
                log.info("reloaded", reasons=_few(todo.reasons), seconds=round(seconds, 3))
                self._running, self._unknown = running, None
                self._last_success_s = time.time()
                self._pace.succeeded(time.monotonic())
                if self._templates.is_trying_new:
                    self._templates.take_up()
                    self._set_aside.retry_routes_now(time.monotonic())
                self._serves(wanted)
            case Refused(refusals):
                self._running = former
                self._observer.reload_finished("refused", causes, seconds)
                if self._templates.is_trying_new and (lost := served_but_rejected(self._served_model, refusals)):
                    self._templates.drop("; ".join(lost[:_NAMED]))
                else:
                    log_set_aside(self._set_aside.add(refusals, wanted, time.monotonic()))
                self._pace.hurry(time.monotonic())
            case Failed(problem, certain, config_refused):
                self._running = former if certain else None
                self._observer.reload_finished("failed", causes, seconds)
                if self._templates.is_trying_new and config_refused:
                    self._templates.drop(problem)
                    return True
                pause_s = self._pace.failed(time.monotonic())
                self._problem = problem
                log.error("not applied", reasons=_few(todo.reasons), problem=problem, retry_in_seconds=pause_s)
                return False
        return True

    def _serves(self, outcome: Outcome) -> None:
        self._served, self._served_model = outcome, outcome.model
        self._pending = False
        self._problem = ""
        self._deciding.served(time.monotonic())
        self._set_aside.acquit()
        self._pace.wants_none()

    def _publish(self) -> None:
        running = self._running if self._revival.due_s is None else None
        snapshot = Snapshot(
            synced=self._store.is_synced,
            stopping=self._stopping.is_set(),
            verdicts=self._served.verdicts if self._served is not None else {},
            applied=running.model if running is not None else None,
            owners=running.owners if running is not None else {},
            configured=self._served is not None,
            problem=self._problem,
            template_problem=self._templates.problem,
            last_success_s=self._last_success_s,
        )
        self._publisher.publish(snapshot)
        if not self._pending:
            self._publisher.report(self._deciding, self._store.objects)

    def pause_s(self) -> float:
        """Give how long the next turn has nothing to do, unless the store wakes it; seconds."""
        if self._revival.due_s is not None:
            due_s = self._revival.due_s
        elif self._pending:
            due_s = min(self._set_aside.due_s(), self._pace.due_s)
        else:
            due_s = self._set_aside.due_s()
        if self._running is not None and self._running.leaving:
            due_s = min(due_s, self._delete_not_before_s)
        return min(max(due_s - time.monotonic(), 0.0), _IDLE_S)


def _few(reasons: tuple[ReloadReason, ...]) -> list[str]:
    """Name the first reasons of many, for a log line that can still be read."""
    named = [str(reason) for reason in reasons[:_NAMED]]
    return named if len(reasons) <= _NAMED else [*named, f"and {len(reasons) - _NAMED} more"]
