"""Brings HAProxy from what it is known to have to what is decided: plan, look, change or reload, and what came of it.

What is to be done is decided in ``plan`` and ``set_aside``, how it is done in ``apply``; when it is done, and tried again, in
``pace`` and ``retries``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import structlog

from router.admission import Outcome
from router.errors import HaproxyError
from router.haproxy.control import Control
from router.model import Model, Spot
from router.objects.store import Store
from router.plan import NoChange, Plan, Reload, ReloadCause, ReloadReason, RuntimeUpdate, plan
from router.plan.running import Running
from router.reconcile.absence import Absence
from router.reconcile.apply import Applied, Applier
from router.reconcile.deciding import Deciding
from router.reconcile.hooks import Observer
from router.reconcile.judge import Failed, Refused
from router.reconcile.listening import Listening
from router.reconcile.pace import ReloadPace
from router.reconcile.presence import Presence
from router.reconcile.retries import SetAside
from router.reconcile.room import Room
from router.reconcile.set_aside import Asides, served_but_rejected, without
from router.reconcile.template_choice import TemplateChoice
from router.reconcile.timing import Timing
from router.reconcile.verdict_log import log_set_aside

log = structlog.get_logger()

_NAMED = 5  # of many things, in a log line
_DELETE_EVERY_S, _MANY_EVERY_S, _MANY = 1.0, 2.0, 100
"""Between looks whether servers that were retired have lost their last connections. Where more leave than the last, one question then is about more of a section."""
_GO_ON_S = 0.01
"""Until the next look, where a change came in the middle of one."""


class Changer:
    """Remembers what HAProxy has, and changes it. All calls from one thread.

    Args:
        store: the objects.
        deciding: is told what reloads there were, and when the outcome is served.
        applier: changes what HAProxy serves.
        haproxy: the process behind it.
        templates: in use, and to be tried.
        observer: is told what happens.
        room: decides what HAProxy does without where it may not open enough files.
        presence: knows which of the named addresses can be bound here.
        absence: knows which of them no replica has.
        timing: when things are tried again.
    """

    def __init__(  # noqa: PLR0913 - what a change takes
        self,
        *,
        store: Store,
        deciding: Deciding,
        applier: Applier,
        haproxy: Control,
        templates: TemplateChoice,
        observer: Observer,
        room: Room,
        presence: Presence,
        absence: Absence,
        timing: Timing,
    ) -> None:
        self._store = store
        self._deciding = deciding
        self._applier = applier
        self._haproxy = haproxy
        self._templates = templates
        self._observer = observer
        self._room = room
        self._presence = presence
        self._absence = absence
        self._absent: frozenset[str] = frozenset()
        self._timing = timing
        self._unknown: ReloadReason | None = None
        """Why nothing is known of what runs, where that is not that it starts."""
        self._served_model = Model()
        self._delete_not_before_s = 0.0
        self._set_aside = self._new_set_aside()
        self._listening: Listening | None = None
        """Of what was decided, while something is set aside."""
        self._pace = self._new_pace()
        self.running: Running | None = None
        """What HAProxy is known to have; None where that is not known."""
        self.served: Outcome | None = None
        """What is served of what was decided; None before the first configuration."""
        self.pending = False
        """Whether what is decided waits for a reload."""
        self.problem = ""
        """Why the last change could not be applied; empty while all is well."""
        self.last_success_s: float | None = None
        """When something was last applied, seconds since the epoch."""

    def revived(self, running: Running | None) -> None:
        """Take note of a HAProxy that is there again, with this; what it has not is brought to it at once."""
        self.running = running
        self._pace.hurry(time.monotonic())

    def look_around(self) -> None:
        """Take note of the addresses that this node has now."""
        if self._presence.look():
            # Clients of an address that came find nobody until its ports are bound.
            self._pace.hurry(time.monotonic())
        self._absent = self._absence.look(
            self._presence.present, self._store.objects.routers.values(), time.monotonic()
        )

    def read_templates(self) -> None:
        """Look whether the template directory has others than those in use."""
        if self._templates.read(self.running.sections() if self.running is not None else None):
            self._set_aside.retry_routes_now(time.monotonic())

    def forget(self) -> None:
        """Trust in nothing that is remembered of what HAProxy has, and of what was to wait."""
        self.running = None
        self._set_aside = self._new_set_aside()
        self._pace = self._new_pace()
        self._templates.forget()

    def begin_anew(self) -> None:
        """Go on after a turn that failed, with what is still known."""
        if self._haproxy.is_down:
            # Whoever was to notice that may have failed. A load starts it.
            self.running = None
        if self.running is None and self.served is not None:
            self._unknown = ReloadReason(ReloadCause.TURN_FAILED)

    def _new_set_aside(self) -> SetAside:
        return SetAside(
            self._timing.refused_retry_s,
            self._timing.port_retry_s,
            is_hurried=lambda: self._haproxy.may_become_free,
        )

    def _new_pace(self) -> ReloadPace:
        return ReloadPace(self._timing.reload_interval_s, self._timing.gather_s, self._timing.failure_retry_s)

    def bring(self, outcome: Outcome) -> None:
        """Bring HAProxy level with an outcome, as far as it can be done now."""
        if self._set_aside:
            self._review(outcome)
        else:
            self._listening = None
        self.pending = goes_on = True
        while self.pending and goes_on:
            asides = self._set_aside.in_force()
            listening = self._listens(outcome) if asides.ports else None
            everything = self._absence.tell(without(outcome, asides, listening), self._absent)
            wanted = self._room.within(everything, self._served_model, self._store.objects)
            # Whose status alone changed has no other model.
            if self.running is not None and wanted.model is not self._served_model:
                self._applier.get_ready()
            try:
                goes_on = self._carry_out(self._plan(self._presence.fit(wanted.model)), everything, wanted)
            finally:
                self._applier.let_go()

    def _carry_out(self, todo: Plan, everything: Outcome, wanted: Outcome) -> bool:
        """Carry out a plan, as far as that can be done now; say whether to plan on at once if something is left to do."""
        match todo:
            case NoChange():
                self._serves(wanted)
            case RuntimeUpdate():
                if self._update(todo, wanted):
                    self._serves(wanted)
            case Reload():
                self._pace.wants(todo.reasons, time.monotonic())
                if time.monotonic() < self._pace.due_s:
                    if todo.meanwhile is not None:
                        self._update(todo.meanwhile, wanted)
                    return False
                return self._room.review(everything) or self._reload(todo, wanted)
        return True

    def _review(self, outcome: Outcome) -> None:
        served = self._served_model.routes
        if self._set_aside.review(outcome, served, self._listens(outcome), self._look, time.monotonic()):
            # Nobody answers on ports that another generation of this router has closed.
            self._pace.hurry(time.monotonic())

    def _listens(self, outcome: Outcome) -> Listening:
        self._listening = self._listening or Listening()
        self._listening.follow(outcome.model)
        return self._listening

    def _look(self, at_spots: tuple[Spot, ...]) -> Mapping[Spot, str]:
        wanted = {bind: spot for spot in at_spots for bind in self._presence.binds_at(spot)}
        try:
            return {wanted[bind]: problem for bind, problem in self._haproxy.taken(wanted).items()}
        except HaproxyError as error:
            log.warning("ports not tried", ports=[str(spot) for spot in at_spots[:_NAMED]], problem=str(error))
            return dict.fromkeys(at_spots, str(error))

    def _plan(self, desired: Model) -> Plan:
        return self._templates.try_with(plan(self.running, desired, self._templates.in_use, self._unknown))

    def _may_open(self, todo: RuntimeUpdate, wanted: Outcome) -> bool:
        """Say whether nobody else has a port that this opens; if somebody has, it is set aside."""
        try:
            refusals = self._applier.look(todo)
        except HaproxyError as error:
            # As bad as it gets, HAProxy says so itself.
            log.warning("ports not tried", problem=str(error))
            return True
        if not refusals:
            return True
        log_set_aside(self._set_aside.add(refusals, wanted, time.monotonic()))
        return False

    def _update(self, todo: RuntimeUpdate, wanted: Outcome) -> bool:
        """Carry out a runtime update; say whether it worked. If not, the next plan is another one."""
        if not self._may_open(todo, wanted):
            return False
        # Nothing is known of what runs until this is through.
        running, self.running = self.running, None
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
        self.running = todo.after
        self.last_success_s = time.time()
        return True

    def delete_retired_servers(self) -> None:
        """Delete servers that were retired and have lost their last connections, now and then."""
        now_s = time.monotonic()
        if self.running is None or not (self.running.leaving or self.running.left) or now_s < self._delete_not_before_s:
            return
        self._delete_not_before_s = now_s + (_MANY_EVERY_S if len(self.running.leaving) > _MANY else _DELETE_EVERY_S)
        try:
            self.running = self._applier.delete_leaving(self.running, lambda: self._store.has_news)
            if not self._applier.retired.is_through:
                self._delete_not_before_s = now_s + _GO_ON_S
        except HaproxyError as error:
            # They harm nobody, and are gone at the next reload.
            log.warning("retired servers not deleted", problem=str(error))

    def go_on_with_rotation(self) -> None:
        """Have more servers take turns otherwise than before the last reload, if some are left."""
        rotation = self._applier.rotation
        if self.running is None:
            rotation.stop()
        elif rotation.is_due:
            try:
                rotation.go_on(self.running)
            except HaproxyError as error:
                # A weight may be another one than it should.
                log.warning("servers not rotated", problem=str(error), consequence="reload")
                self.running, self._unknown = None, ReloadReason(ReloadCause.RUNTIME_REFUSED)
                self.pending = True
                self._pace.wants((self._unknown,), time.monotonic())

    def _reload(self, todo: Reload, wanted: Outcome) -> bool:
        """Carry out a reload.

        Returns:
            Whether to go on at once: false after a failure, which is tried again later.
        """
        began_s = time.monotonic()
        # As in an update.
        former, self.running = self.running, None
        result = self._applier.apply(self._templates.renderer, self._presence.fit(wanted.model), former)
        seconds = time.monotonic() - began_s
        self._deciding.reloaded(todo.reasons, time.monotonic())
        match result:
            case Applied(running):
                self._observer.reload_finished("success", todo.reasons, seconds)
                log.info("reloaded", reasons=_few(todo.reasons), seconds=round(seconds, 3))
                self.running, self._unknown = running, None
                self.last_success_s = time.time()
                self._pace.succeeded(time.monotonic())
                if self._templates.is_trying_new:
                    self._templates.take_up()
                    self._set_aside.retry_routes_now(time.monotonic())
                self._serves(wanted)
            case Refused(refusals):
                refusals = self._still_here(refusals)
                self.running = former
                self._observer.reload_finished("refused", todo.reasons, seconds)
                if self._templates.is_trying_new and (lost := served_but_rejected(self._served_model, refusals)):
                    self._templates.drop("; ".join(lost[:_NAMED]))
                else:
                    log_set_aside(self._set_aside.add(refusals, wanted, time.monotonic()))
                self._pace.hurry(time.monotonic())
            case Failed(problem, certain, config_refused):
                self.running = former if certain else None
                self._observer.reload_finished("failed", todo.reasons, seconds)
                if self._templates.is_trying_new and config_refused:
                    self._templates.drop(problem)
                    return True
                pause_s = self._pace.failed(time.monotonic())
                self.problem = problem
                log.error("not applied", reasons=_few(todo.reasons), problem=problem, retry_in_seconds=pause_s)
                return False
        return True

    def _still_here(self, refusals: Asides) -> Asides:
        """Leave out the ports of addresses that left while HAProxy was to bind them: there is nothing wrong with these."""
        before = {spot: self._presence.binds_at(spot) for spot in refusals.ports if spot.address}
        if not before:
            return refusals
        self.look_around()
        moved = {spot for spot, former in before.items() if self._presence.binds_at(spot) != former}
        return replace(refusals, ports={spot: each for spot, each in refusals.ports.items() if spot not in moved})

    def _serves(self, outcome: Outcome) -> None:
        self.served, self._served_model = outcome, outcome.model
        self.pending = False
        self.problem = ""
        self._deciding.served(time.monotonic())
        self._set_aside.acquit()
        self._pace.wants_none()

    @property
    def due_s(self) -> float:
        """When there is something to do without any news (``time.monotonic``)."""
        if self._applier.rotation.is_due:
            return time.monotonic()
        due_s = self._set_aside.due_s()
        if self.pending:
            due_s = min(due_s, self._pace.due_s)
        if self.running is not None and (self.running.leaving or self.running.left):
            due_s = min(due_s, self._delete_not_before_s)
        return due_s


def _few(reasons: tuple[ReloadReason, ...]) -> list[str]:
    """Name the first reasons of many, for a log line that can still be read."""
    named = [str(reason) for reason in reasons[:_NAMED]]
    return named if len(reasons) <= _NAMED else [*named, f"and {len(reasons) - _NAMED} more"]
