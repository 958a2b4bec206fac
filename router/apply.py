"""Carry out one reload: candidate, check, rename, load, verify.

The protocol is that of docs/architecture.md. Nothing here decides what to serve or when to try again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from router.admission.verdicts import Reason
from router.errors import HaproxyError, TemplateError
from router.haproxy.alerts import BindFailure
from router.haproxy.control import Control, Serving
from router.judge import FRONTEND_PORT, Accepted, Failed, Judge, Refused, one_line
from router.model import Model, frontend_name, ports
from router.render import Rendered, Renderer
from router.set_aside import Refusal, Refusals
from router.state_dir import StateDir


@dataclass(frozen=True, slots=True)
class Applied:
    """HAProxy serves the model; its worker said so."""


ApplyResult = Applied | Refused | Failed


class Applier:
    """Applies models to one HAProxy.

    Args:
        control: the HAProxy.
        state: the directory shared with it.
    """

    def __init__(self, control: Control, state: StateDir) -> None:
        self._control = control
        self._state = state
        self._judge = Judge(control.check, state)
        self._bound: frozenset[int] = frozenset()

    def haproxy_ended(self) -> None:
        """Take note that HAProxy runs no more, so that no port is held by it."""
        self._bound = frozenset()

    def haproxy_serves(self, model: Model) -> None:
        """Take note that a HAProxy that was started again serves this model."""
        self._bound = ports(model)

    def apply(self, renderer: Renderer, desired: Model) -> ApplyResult:
        """Make HAProxy serve ``desired``, by a new configuration and a new worker.

        Returns:
            What came of it. Never raises for what HAProxy, the disk or a template does.
        """
        try:
            return self._apply(renderer, desired)
        except TemplateError as error:
            return Failed(f"template broken: {error}", config_refused=True)
        except OSError as error:
            return Failed(f"the state directory cannot be written: {error}")
        except HaproxyError as error:
            return Failed(str(error))

    def _apply(self, renderer: Renderer, desired: Model) -> ApplyResult:
        wanted = ports(desired)
        # HAProxy itself must never find a port taken: for the two seconds in which it tries again and again, it pauses
        # every listener of the worker that runs, and all new connections are refused.
        taken = self._control.taken(sorted(wanted - self._bound))
        if taken:
            return Refused(Refusals({}, {port: _unavailable(port, problem) for port, problem in taken.items()}))
        judged = self._judge.judge(renderer, desired)
        return self._load(judged.rendered, desired) if isinstance(judged, Accepted) else judged

    def _load(self, rendered: Rendered, desired: Model) -> ApplyResult:
        self._state.promote()
        formerly_bound = self._bound
        self._bound |= ports(desired)
        try:
            loaded = self._control.load()
            missing = _missing(desired, self._control.serving()) if loaded.success else ""
        except HaproxyError as error:
            # The file stays: a load that was not heard the end of may have happened.
            return Failed(str(error), certain=False)
        if not loaded.success:
            self._state.restore()
            self._bound = formerly_bound
            refusals = _bind_refusals(loaded.bind_failures, ports(desired))
            if refusals:
                return Refused(refusals)
            return Failed(f"HAProxy did not load the configuration: {one_line(loaded.log)}", config_refused=True)
        if missing:
            # As a rule a template that renamed or left out what the model has.
            problem = f"HAProxy's new worker does not serve what its configuration says: {missing}"
            return Failed(problem, certain=False, config_refused=True)
        self._bound = ports(desired)
        self._state.sweep(rendered.files)
        return Applied()


def _bind_refusals(failures: Iterable[BindFailure], wanted: frozenset[int]) -> Refusals:
    at_ports = {}
    for failure in failures:
        # A template may bind more than the model has; leaving a port out does not help against that.
        if (frontend := FRONTEND_PORT.fullmatch(failure.frontend)) and (port := int(frontend[1])) in wanted:
            at_ports[port] = _unavailable(port, f"{failure.problem} for {failure.address}")
    return Refusals({}, at_ports)


def _unavailable(port: int, problem: str) -> Refusal:
    return Refusal(Reason.PORT_UNAVAILABLE, f"port {port} cannot be opened on the router's host: {problem}")


def _missing(model: Model, serving: Serving) -> str:
    """Name what the model has and the worker lacks; more than that may come from a user's template."""
    lacking = sorted({frontend_name(port) for port in ports(model)} - serving.frontends)
    servers = {(section.backend.name, server.name) for section in model.routes for server in section.backend.servers}
    lacking += [f"{backend}/{server}" for backend, server in sorted(servers - serving.servers)]
    few = 5
    return ", ".join(lacking[:few]) + (f" and {len(lacking) - few} more" if len(lacking) > few else "")
