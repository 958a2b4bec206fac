"""Carry out one plan: a reload (candidate, check, rename, load, verify), or commands for the HAProxy that runs.

The protocol is that of docs/architecture.md. Nothing here decides what to serve or when to try again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from router.errors import HaproxyError, TemplateError
from router.haproxy.control import Control
from router.haproxy.talk.server_states import NOTHING_DOWN
from router.model import Bind, Model, Spot, binds, spots
from router.model.stages import stages
from router.plan import RuntimeUpdate
from router.plan import running as runs
from router.plan.commands import opened, opens
from router.plan.leaving import Leaving
from router.plan.running import Running
from router.plan.slots import beside, beside_former, declared, settled
from router.reconcile.filling import Filling
from router.reconcile.handover import handed_over
from router.reconcile.judge import Accepted, Failed, Judge, Refused, one_line
from router.reconcile.level import Leveler
from router.reconcile.new_worker import NewWorker
from router.reconcile.port_refusals import at_spots, bind_refusals, refusals_at
from router.reconcile.presence import Pool
from router.reconcile.retired import Retired
from router.reconcile.rotation import Rotation
from router.reconcile.set_aside import NOTHING_ASIDE, Asides
from router.reconcile.state_dir import StateDir
from router.reconcile.worker import Worker
from router.render import Rendered, Renderer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Applied:
    """HAProxy serves the model; its worker said so."""

    running: Running


ApplyResult = Applied | Refused | Failed


class Applier:
    """Applies models to one HAProxy. All calls from one thread.

    Args:
        control: the HAProxy.
        state: the directory shared with it.
        judge: lets HAProxy judge configurations before they are loaded.
        worker: its newest worker.
        pool: what is declared in advance.
        level: brings haproxy.cfg level after commands.
        loaded: is told whenever a worker was loaded, and how many of its connections one of a client may be.
        retired: deletes its servers that leave.
        filling: is told what becomes of the pool, where that sizes itself.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that meet here
        self,
        control: Control,
        state: StateDir,
        judge: Judge,
        worker: Worker,
        pool: Pool,
        level: Leveler,
        loaded: Callable[[int], None] = lambda _stages: None,
        retired: Retired | None = None,
        filling: Filling | None = None,
    ) -> None:
        self._control = control
        self._state = state
        self._worker = worker
        self._pool = pool
        self._filling = filling
        self._level = level
        self._judge = judge
        self._loaded = loaded
        self._new_worker = NewWorker(control, worker)
        self.rotation = Rotation(worker)
        """To be gone on with after a reload, as long as it is due."""
        self._has_started = False
        self.retired = retired or Retired(worker)
        """Read only, from outside."""
        self._last_owners: Mapping[str, str] = {}
        """Whom the pool served when it was last known."""
        self._bound: frozenset[Bind] = frozenset()
        """What HAProxy listens on; it need not be looked at before a load."""

    @property
    def can_restart(self) -> bool:
        """Whether there is a configuration on disk that is known to be good, and what it serves."""
        return self._level.on_disk is not None

    def haproxy_ended(self) -> None:
        """Take note that HAProxy runs no more: no port is held by it, and what is on disk stays until it has read that."""
        self._bound = frozenset()
        self.rotation.stop()
        self._state.begin_change()

    def haproxy_restarted(self) -> Running:
        """Take note that HAProxy was started again on the configuration on disk, and close what serves nobody.

        Raises:
            HaproxyError: it could not be asked to.
        """
        on_disk = self._level.on_disk
        if on_disk is None or not self._state.config_is_ours:
            raise HaproxyError("HAProxy runs on a configuration that is not known")
        # What was not written before it ended was never in force in this one.
        self._level.reloaded(on_disk)
        self.retired.keep(on_disk.leaving)
        self._bound = _open(on_disk.model)
        self._worker.run(runs.close_idle_ports(on_disk))
        self._loaded(stages(on_disk.model))
        if self._filling is not None:
            self._filling.loaded(on_disk.model)
        return self._new_worker.able(on_disk)

    def update(self, renderer: Renderer, running: Running, update: RuntimeUpdate) -> None:
        """Change the HAProxy that runs.

        Args:
            renderer: the templates that it was loaded with.
            running: what it has.
            update: what to change.

        Raises:
            HaproxyError: it did not do all of it; what it has is not known any more.
        """
        self.retired.forget(update.back)
        try:
            self._worker.run(update.commands)
        except HaproxyError:
            both = {**binds(running.model), **binds(update.after.model)}
            listening = self._listening(spots(running.model) | spots(update.after.model))
            self._bound = frozenset(bind for bind, spot in both.items() if spot in listening)
            self._last_owners = update.after.owners
            raise
        if self._filling is not None:
            self._filling.updated(update.commands)
        after = update.after
        self._level.want(renderer, lambda: self._with_pool(after), check=update.new_sections)

    def get_ready(self) -> None:
        """Connect for the commands of an ``update`` that may come, while it is still decided what these are."""
        self._worker.get_ready()

    def let_go(self) -> None:
        """Have that connection no longer, if it was not used."""
        self._worker.let_go()

    def look(self, update: RuntimeUpdate) -> Asides:
        """Say which ports an update would open that somebody else has.

        HAProxy bound them before, and would come to share them: the kernel refuses nothing to a socket that has SO_REUSEPORT.

        Raises:
            HaproxyError: it cannot be found out.
        """
        if not opens(update.commands):
            return NOTHING_ASIDE
        wanted = {bind: at for at in at_spots(opened(update.commands)) for bind in update.after.binds_at(at)}
        taken = self._control.taken(sorted(wanted)) if wanted else {}
        if not taken:
            return Asides({}, {})
        ours = self._listening(frozenset())
        return Asides({}, {spot: each for spot, each in refusals_at(taken, wanted).items() if spot not in ours})

    def look_before_restart(self) -> None:
        """See to it that nobody took a port of the configuration on disk while HAProxy was dead: see ``look``.

        Raises:
            HaproxyError: somebody did.
        """
        on_disk = self._level.on_disk
        wanted = binds(on_disk.model) if on_disk is not None else {}
        for bind, problem in self._control.taken(sorted(wanted)).items():
            raise HaproxyError(f"port {wanted[bind]} is taken: {problem}")

    def _listening(self, otherwise: frozenset[Spot]) -> frozenset[Spot]:
        """Give the ports that HAProxy listens on. Of those that it cannot open any more, somebody else may have taken one."""
        try:
            frontends = self._control.serving().frontends
        except HaproxyError:
            return otherwise
        return at_spots(frontends)

    def delete_leaving(self, running: Running, has_news: Callable[[], bool] = lambda: False) -> Running:
        """Delete servers that were retired and have no connections left; see ``Retired.delete``. Give what HAProxy has then.

        Raises:
            HaproxyError: HAProxy did not answer as it should; it has what it had.
        """
        return self.retired.delete(running, has_news)

    def apply(self, renderer: Renderer, desired: Model, running: Running | None) -> ApplyResult:
        """Make HAProxy serve ``desired``, by a new configuration and a new worker.

        Args:
            renderer: the templates.
            desired: what to serve.
            running: what HAProxy has now, if that is known.

        Returns:
            What came of it. Never raises for what HAProxy, the disk or a template does.
        """
        self.retired.keep(Leaving())
        result = self._tried(renderer, desired, running)
        if not isinstance(result, Applied):
            self._level.not_reloaded()
        return result

    def _tried(self, renderer: Renderer, desired: Model, running: Running | None) -> ApplyResult:
        try:
            return self._apply(renderer, desired, running)
        except TemplateError as error:
            return Failed(f"template broken: {error}", config_refused=True)
        except OSError as error:
            return Failed(f"the state directory cannot be written: {error}")
        except HaproxyError as error:
            return Failed(str(error))

    def _apply(self, renderer: Renderer, desired: Model, running: Running | None) -> ApplyResult:
        if running is not None and self._filling is not None:
            # First: as many more are to be ready afterwards.
            self._filling.reloads(running.model, desired)
        desired = beside_former(desired, running)
        wanted = binds(replace(desired, pool=self._pool.sections(desired)))
        if running is not None:
            # Closed ports of the pool are looked at each time: whoever else opened one meanwhile has it.
            self._bound = _open(running.model)
        new = wanted.keys() - self._bound
        # HAProxy itself must never find a port taken: for the two seconds in which it tries again and again, it pauses
        # every listener of the worker that runs, and all new connections are refused.
        taken = self._control.taken(sorted(new))
        needed = spots(desired)
        refused = {spot: each for spot, each in refusals_at(taken, wanted).items() if spot in needed}
        if refused:
            return Refused(Asides({}, refused))
        pool = self._pool.sections(desired, {wanted[bind] for bind in taken})
        pool = beside(pool, desired.routes)
        full = replace(desired, pool=tuple(section for section in pool if renderer.renders(section)))
        self._state.begin_change()
        owners = running.owners if running is not None else self._last_owners
        is_down = self._control.is_down
        self._state.write_server_states(NOTHING_DOWN if is_down else handed_over(self._worker, renderer, full, owners))
        if self._control.runs_kept and (kept := self._unjudged(renderer, full, is_loaded=True)) is not None:
            return kept
        if self._control.is_down and not self._has_started:
            # At the very first start nothing can be harmed by a configuration that HAProxy refuses; the check, which takes as
            # long as the start, is made when it did.
            self._has_started = True
            if (started := self._unjudged(renderer, full, is_loaded=False)) is not None:
                return started
        judged = self._judge.judge(renderer, full)
        if not isinstance(judged, Accepted):
            return judged
        result = self._load(renderer, judged.rendered, full, running)
        if judged.in_part and isinstance(result, Failed) and result.certain and result.config_refused:
            # What is new is fine by itself, and the whole is not: whose doing that is has not been looked for yet.
            judged = self._judge.judge(renderer, full, whole=True)
            return judged if isinstance(judged, Refused) else result
        return result

    def _unjudged(self, renderer: Renderer, full: Model, *, is_loaded: bool) -> Applied | None:
        """Start HAProxy without a check, or take what it was started on for what is wanted, if it is that to the byte; give None if that did not do."""
        rendered = renderer.render(full)
        if rendered.failures or (is_loaded and not self._state.adopt(rendered.config)):
            return None
        if not is_loaded:
            self._state.write_candidate(rendered.config, rendered.files)
        result = self._load(renderer, rendered, full, None, is_loaded=is_loaded)
        return result if isinstance(result, Applied) else None

    def _load(
        self, renderer: Renderer, rendered: Rendered, full: Model, running: Running | None, *, is_loaded: bool = False
    ) -> ApplyResult:
        if not is_loaded:
            self._state.promote()
        formerly_bound = self._bound
        is_reload = not self._control.is_down and not is_loaded
        self._bound |= binds(full).keys()
        fresh = renderer.loaded(full)
        # Made before they are needed: until they are carried out, ports that are nobody's are open.
        closing = tuple(runs.close_idle_ports(fresh))
        self._worker.let_go()
        try:
            loaded = self._control.keep() if is_loaded else self._control.load()
            missing = ""
            if loaded.success:
                self._worker.run(closing)
                self._loaded(stages(full))
                missing = self._new_worker.look(renderer, full, closing=closing)
                fresh = self._new_worker.able(fresh)
        except HaproxyError as error:
            # The file stays: a load that was not heard the end of may have happened.
            self._level.reloaded(None)
            return Failed(str(error), certain=False)
        if not loaded.success:
            self._state.restore()
            self._bound = formerly_bound
            self._close_idle(running)
            refusals = bind_refusals(loaded.bind_failures, spots(full))
            if refusals:
                return Refused(refusals)
            return Failed(f"HAProxy did not load the configuration: {one_line(loaded.log)}", config_refused=True)
        self._level.reloaded(fresh)
        self._judge.remember(rendered)
        if missing:
            # As a rule a template that renamed or left out what the model has.
            problem = f"HAProxy's new worker does not serve what its configuration says: {missing}"
            return Failed(problem, certain=False, config_refused=True)
        self._bound = _open(full)
        if is_reload:
            self.rotation.begin(renderer, full)
        if self._filling is not None:
            self._filling.loaded(full)
        self._state.sweep(rendered.files)
        if settled(full) is not full:
            # Whoever starts on what is on disk replaces no worker.
            self._level.want(renderer, lambda: self._with_pool(fresh), check=True)
        return Applied(fresh)

    def _close_idle(self, running: Running | None) -> None:
        """Close again what a load that failed opened: HAProxy resumes all listeners of the worker that goes on."""
        if running is None:
            return
        try:
            self._worker.run(runs.close_idle_ports(running))
        except HaproxyError as error:
            log.warning("idle ports not closed", problem=str(error))

    def _with_pool(self, running: Running) -> Model:
        """Give what is to be on disk: every Route in a section of its own, and of the pool what is left."""
        model = settled(running.model)
        at = [section.frontend.spot for section in model.pool if section.frontend is not None]
        # What could not be declared when HAProxy was loaded can, as far as is known, not be declared now.
        return replace(model, pool=declared(self._pool.sections(model, declared=at), model.pool))


def _open(model: Model) -> frozenset[Bind]:
    return frozenset(binds(replace(model, pool=())))
