"""What is done with a worker that was just loaded: look whether it serves what it shall, as it shall, and set right what not.

A worker is loaded from a configuration, but also from what the former one left behind (health, in the server-state file), and
what an administrator or a template makes of that is not ours to know. So its weights, states and limits are read back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from router.haproxy.control import Serving
from router.haproxy.talk.stats import ServerState
from router.model import Frontend, Model, RouteSection, SharedFrontend, frontend_name, spots
from router.model.stages import backends_of
from router.plan import commands
from router.plan.commands import Command
from router.plan.leaving import ServerName
from router.plan.running import Running
from router.plan.section_text import SectionText

log = structlog.get_logger()

_NAMED = 5
_REPLACED_S = 1.0
_REPLACED_PAUSE_S = 0.02
"""How long, and how often, to ask anew what it serves: the worker that it replaced may have taken the connection before it stopped to listen."""


class Templates(Protocol):
    """What the sections were rendered to."""

    @property
    def has_independent_sections(self) -> bool:
        """Whether they are the packaged ones."""

    def text(self, section: RouteSection) -> SectionText | None:
        """Give a section taken apart; None where its form is another than the usual one."""

    def frontend_limit(self, subject: RouteSection | SharedFrontend) -> int | None:
        """Give the limit that a port was rendered with."""


class Loaded(Protocol):
    """The newest worker, asked; HaproxyError is what it raises."""

    def serving(self) -> Serving:
        """Give what it serves."""

    def server_limits(self, backends: frozenset[str]) -> Mapping[ServerName, int]:
        """Give the limits of the servers of some backends."""


class Commanded(Protocol):
    """The newest worker, told; HaproxyError is what it raises."""

    def run(self, commands: Iterable[Command]) -> None:
        """Carry out commands, in their order."""

    def adds_backends(self) -> bool:
        """Say whether it adds and deletes backends while it runs."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something that a worker has otherwise than it was rendered, and what sets it right."""

    text: str
    command: Command


class NewWorker:
    """Looks at workers that were just loaded. All calls from one thread.

    Args:
        loaded: the newest worker, asked.
        worker: the same, told.
    """

    def __init__(self, loaded: Loaded, worker: Commanded) -> None:
        self._loaded = loaded
        self._worker = worker
        self._adds_backends: bool | None = None

    def able(self, running: Running) -> Running:
        """Give what it has of what it was loaded with: one of an older HAProxy than the one that checks configurations adds no backends, whatever these say.

        Raises:
            HaproxyError: it does not answer.
        """
        if not running.bases:
            return running
        adds = self._worker.adds_backends()
        if adds is not self._adds_backends:
            self._adds_backends = adds
            log.info("backends while haproxy runs", added=adds)
        return running if adds else replace(running, bases={})

    def look(self, templates: Templates, model: Model, *, closing: Iterable[Command] = ()) -> str:
        """Have the worker serve a model as it was rendered.

        Args:
            templates: what it was rendered with.
            model: what it was loaded with.
            closing: commands that closed ports of it, which are nobody's.

        Returns:
            What it lacks altogether, empty for nothing.

        Raises:
            HaproxyError: it did not answer, or could not be set right.
        """
        serving = self._loaded.serving()
        ends_s = time.monotonic() + _REPLACED_S
        while (lacking := missing(model, serving)) and time.monotonic() < ends_s:
            time.sleep(_REPLACED_PAUSE_S)
            serving = self._loaded.serving()
        if lacking:
            return lacking
        limited = frozenset(
            name
            for section in model.routes
            if section.backend.server_maxconn is not None
            for name in backends_of(section)
        )
        found = (
            *still_open(closing, serving),
            *deviations(model, templates, serving, self._loaded.server_limits(limited) if limited else {}),
        )
        if found:
            log.warning("worker set right", deviations=[each.text for each in found[:_NAMED]], number=len(found))
            self._worker.run(each.command for each in found)
        return ""


def missing(model: Model, serving: Serving) -> str:
    """Name what a model has and the worker lacks; more than that may come from a user's template."""
    lacking = sorted({frontend_name(*spot) for spot in spots(model)} - serving.frontends.keys())
    known = serving.servers
    servers = {
        (name, server.name)
        for section in model.routes
        for name in backends_of(section)
        for server in section.backend.servers
        if (name, server.name) not in known
    }
    lacking += [f"{backend}/{server}" for backend, server in sorted(servers)]
    few = 5
    return ", ".join(lacking[:few]) + (f" and {len(lacking) - few} more" if len(lacking) > few else "")


def still_open(closing: Iterable[Command], serving: Serving) -> Iterator[Deviation]:
    """Give what closes ports that are nobody's and yet open: the worker that was replaced may have been told in place of the new one; pure.

    Args:
        closing: the commands that closed them.
        serving: what the worker says.
    """
    for command in closing:
        name = command.text.rpartition(" ")[2]
        if name in serving.frontends:
            yield Deviation(f"{name} is open", command)


def deviations(
    model: Model, templates: Templates, serving: Serving, limits: Mapping[ServerName, int]
) -> Iterator[Deviation]:
    """Give what a worker has otherwise than it was rendered; pure.

    What equals the model is not looked at further: to take thousands of sections apart takes longer than all of this.

    Args:
        model: what it was loaded with.
        templates: what that was rendered to, which is what counts.
        serving: what it says.
        limits: of servers, for Routes that limit them.
    """
    for section in model.routes:
        for backend in backends_of(section):
            for server in section.backend.servers:
                name = backend, server.name
                state = serving.servers[name]
                limit = limits.get(name) if limits else None
                is_limited = limit is None or limit == section.backend.server_maxconn
                if state.weight != server.weight or not state.is_ready or not is_limited:
                    yield from _of_server(section, name, state, templates, limit)
    for section in model.routes:
        if section.frontend is not None:
            yield from _of_frontend(section, section.frontend, templates, serving)
    for shared in model.shared:
        yield from _of_frontend(shared, shared, templates, serving)


def _of_server(
    section: RouteSection, name: ServerName, state: ServerState, templates: Templates, limit: int | None
) -> Iterator[Deviation]:
    text = templates.text(section)
    lines = (text.servers if name[0] == section.backend.name else text.apart) if text is not None else {}
    line = lines.get(name[1])
    if line is None:
        return
    shown = "/".join(name)
    if state.weight != line.weight:
        yield Deviation(f"{shown} weight {state.weight}, not {line.weight}", commands.set_weight(*name, line.weight))
    if not state.is_ready:
        yield Deviation(f"{shown} takes no connections", commands.revive_server(*name))
    if limit is not None and limit != line.maxconn:
        yield Deviation(f"{shown} maxconn {limit}, not {line.maxconn}", commands.set_server_limit(*name, line.maxconn))


def _of_frontend(
    subject: RouteSection | SharedFrontend, frontend: Frontend | SharedFrontend, templates: Templates, serving: Serving
) -> Iterator[Deviation]:
    name = frontend_name(*frontend.spot)
    limit = serving.frontends[name]
    if frontend.options.maxconn in (None, limit):
        return
    wanted = templates.frontend_limit(subject)
    if wanted is not None and wanted != limit:
        yield Deviation(f"{name} maxconn {limit}, not {wanted}", commands.set_frontend_limit(name, wanted))
