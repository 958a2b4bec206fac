"""The loop: wait, coalesce, decide, apply, publish.

One thread runs ``Controller.run`` and owns everything from the store to HAProxy. Other threads only set flags here and wake
it. What is decided is in ``deciding``, how HAProxy is brought to it in ``changing``, who is told in ``publishing``; a HAProxy
that ended is brought back in ``revival``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from router.admission import Admission
from router.admission.allocation import Pool
from router.admission.policy import NO_NEWS
from router.admission.spare_ports import SparePorts
from router.haproxy.control import Control
from router.objects.store import Store
from router.reconcile.absence import Absence
from router.reconcile.apply import Applier
from router.reconcile.changing import Changer
from router.reconcile.deciding import Deciding, LookUp, no_look_up
from router.reconcile.hooks import Observer, Propose, Reporter, unheard
from router.reconcile.presence import Presence
from router.reconcile.publishing import Publisher
from router.reconcile.revival import Revival
from router.reconcile.room import Room
from router.reconcile.snapshot import Snapshot
from router.reconcile.template_choice import TemplateChoice
from router.reconcile.timing import Timing
from router.reconcile.turns import Turns
from router.render import Renderer
from router.supervisor.way import WAY

_IDLE_S = 1.0
"""The loop turns at least this often, so that /healthz can tell that it does."""
_GIVES_WAY_S = 0.000_05
"""For a thread that is ready to run to be let run. Less than a turn takes, which is saved where both parts are decided in one."""
_FORGETS_AT = 2
"""So many failed turns in a row, and nothing that is remembered is trusted: a reload makes it so."""


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
        presence: knows which of the named addresses can be bound here.
        absence: knows which of them no replica has.
        timing: when things are tried again.
        reporters: tell those who ask, and PortClaims, what became of them, where that is possible.
        look_up: is told which names are to be looked up, by the Services that say them; must not block.
        propose: is told what is to be claimed for those who ask for any port.
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
        presence: Presence | None = None,
        absence: Absence | None = None,
        reporters: Sequence[Reporter] = (),
        look_up: LookUp = no_look_up,
        propose: Propose = unheard,
    ) -> None:
        self._store = store
        self._haproxy = haproxy
        self._templates = TemplateChoice(renderer, load_templates)
        self._publisher = Publisher(observer, reporters, propose)

        self._templates_changed = threading.Event()
        self._stopping = threading.Event()
        self._end = threading.Event()

        self._deciding = Deciding(store, admission, observer, timing, look_up)
        self._changer = Changer(
            store=store,
            deciding=self._deciding,
            applier=applier,
            haproxy=haproxy,
            templates=self._templates,
            observer=observer,
            room=room,
            presence=presence or Presence(),
            absence=absence or Absence({}),
            timing=timing,
        )
        self._turns = Turns(timing.failure_retry_s)
        self._is_over = False
        self._revival = Revival(haproxy, applier, observer, timing.failure_retry_s)
        self._last_turn_s = time.monotonic()

    @property
    def snapshot(self) -> Snapshot:
        """The outcome of the last turn; any thread."""
        return self._publisher.snapshot

    @property
    def last_turn_s(self) -> float:
        """When the loop last turned (``time.monotonic``); any thread."""
        return self._last_turn_s

    def ports_to_give(self, pool: Pool) -> tuple[int, int]:
        """Give how many ports of a pool there are for those who ask for any, and how many of them are free; any thread."""
        return self._deciding.ports_to_give(pool)

    def fill_from(self, spare: SparePorts) -> None:
        """Have those who ask for any port get the ones of the pool first, and the pool filled with free ones; before ``run``."""
        self._deciding.prefer(lambda: spare.ready)
        spare.free = self._deciding.free_ports

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
        WAY.begin()
        try:
            self._turns.run(self, self._end)
        finally:
            WAY.end()
            # Perhaps no turn came after begin_stop: from here on new connections are refused.
            self._publisher.stopping()
            self._is_over = True
            self._haproxy.stop()

    def turn(self) -> None:
        """Bring everything level once, as far as it can be done now."""
        self._last_turn_s = time.monotonic()
        if (revived := self._revival.look()) is not None:
            self._changer.revived(revived.running)
        if self._templates_changed.is_set():
            self._templates_changed.clear()
            self._changer.read_templates()
        if self._store.is_synced and self._revival.due_s is None:
            outcome = self._deciding.take(time.monotonic())
            self._publisher.propose(self._deciding)
            self._changer.look_around()
            self._changer.bring(outcome)
            self._changer.delete_retired_servers()
            self._changer.go_on_with_rotation()
            self._deciding.tell()
        self._publish()

    def rest(self) -> None:
        """Wait until the next turn has something to do."""
        pause_s = self.pause_s()
        WAY.leave()
        self._store.wait(pause_s)
        WAY.take()
        if self._store.has_part:
            # A watch that has read the other part waits for Python's lock alone.
            time.sleep(_GIVES_WAY_S)

    @property
    def is_needed(self) -> bool:
        """Whether HAProxy is down."""
        return self._haproxy.is_down or self._haproxy.is_awaited

    def note_failure(self, problem: str) -> None:
        """Take note that a turn raised what nobody foresaw."""
        self._changer.problem = problem
        self._publisher.failed(problem)

    def rebuild(self, failures: int) -> None:
        """Decide everything anew in the next turn; from the second failure in a row on, without trust in what was remembered."""
        self._deciding.anew()
        if failures == _FORGETS_AT:
            self._changer.forget()
        self._changer.begin_anew()

    def _publish(self) -> None:
        changer = self._changer
        running = changer.running if self._revival.due_s is None else None
        snapshot = Snapshot(
            synced=self._store.is_synced,
            stopping=self._stopping.is_set(),
            verdicts=changer.served.verdicts if changer.served is not None else {},
            applied=running.model if running is not None else None,
            owners=running.owners if running is not None else {},
            adds_backends=running is not None and bool(running.bases),
            sections_left=len(running.left) if running is not None else 0,
            gateway_api=changer.served.gateway_api if changer.served is not None else {},
            policy=changer.served.policy if changer.served is not None else NO_NEWS,
            configured=changer.served is not None,
            problem=changer.problem,
            template_problem=self._templates.problem,
            last_success_s=changer.last_success_s,
        )
        self._publisher.publish(snapshot)
        if not changer.pending:
            self._publisher.report(self._deciding, self._store.objects)

    def pause_s(self) -> float:
        """Give how long the next turn has nothing to do, unless the store wakes it; seconds."""
        due_s = self._revival.due_s if self._revival.due_s is not None else self._changer.due_s
        return min(max(due_s - time.monotonic(), 0.0), _IDLE_S)
