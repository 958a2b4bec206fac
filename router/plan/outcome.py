"""What a plan can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import msgspec

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


class RuntimeUpdate(msgspec.Struct, frozen=True, eq=False, dict=True):
    """Commands for the HAProxy that runs, in their order, and what it has when all of them worked."""

    commands: tuple[Command, ...]
    comes_to: Callable[[], Running]
    """Gives the latter: HAProxy gets the commands before that is made."""
    new_sections: bool
    """On disk, the configuration that goes with it has more than other servers."""
    back: tuple[ServerName, ...] = ()
    """Servers that were to leave, and do not."""

    @cached_property
    def after(self) -> Running:
        """What it has when all of them worked."""
        return self.comes_to()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RuntimeUpdate):
            return NotImplemented
        one, two = ((each.commands, each.after, each.new_sections, each.back) for each in (self, other))
        return one == two

    __hash__ = None  # type: ignore[assignment] # what it has is not hashed, either


@dataclass(frozen=True, slots=True)
class Reload:
    """A new configuration file and a new worker, for these reasons (sorted, at least one)."""

    reasons: tuple[ReloadReason, ...]
    meanwhile: RuntimeUpdate | None = None
    """What can be done without it, should it have to wait."""


Plan = NoChange | RuntimeUpdate | Reload
