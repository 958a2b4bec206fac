"""What a plan can be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from router.plan.commands import Command
from router.plan.leaving import ServerName
from router.plan.running import Running


class ReloadCause(StrEnum):
    """The kinds of reasons for a reload; few, for they label a metric."""

    START = "start"
    ROUTE_ADDED = "route-added"
    ROUTE_REMOVED = "route-removed"
    PORT_CHANGED = "port-changed"
    ADDRESS_CHANGED = "address-changed"
    """An address of ``--address`` came to this node, or left it."""
    OPTIONS_CHANGED = "options-changed"
    SERVERS_CHANGED = "servers-changed"
    TEMPLATES_CHANGED = "templates-changed"
    RUNTIME_REFUSED = "runtime-refused"
    """HAProxy did not answer to a command as it does when that worked."""
    TURN_FAILED = "turn-failed"
    """Something that nobody foresaw went wrong in the router; what runs is not known any more."""


@dataclass(frozen=True, slots=True, order=True)
class ReloadReason:
    """Why a reload is needed. ``subject`` is who asks (``namespace/name``, as the log of connections has it) or the port concerned, empty for all of them."""

    cause: ReloadCause
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.cause} {self.subject}".rstrip()


@dataclass(frozen=True, slots=True)
class NoChange:
    """HAProxy serves what it shall serve."""


@dataclass(frozen=True, slots=True)
class RuntimeUpdate:
    """Commands for the HAProxy that runs, in their order, and what it has when all of them worked."""

    commands: tuple[Command, ...]
    after: Running
    new_sections: bool
    """On disk, the configuration that goes with it has more than other servers."""
    back: tuple[ServerName, ...] = ()
    """Servers that were to leave, and do not."""


@dataclass(frozen=True, slots=True)
class Reload:
    """A new configuration file and a new worker, for these reasons (sorted, at least one)."""

    reasons: tuple[ReloadReason, ...]
    meanwhile: RuntimeUpdate | None = None
    """What can be done without it, should it have to wait."""


Plan = NoChange | RuntimeUpdate | Reload
