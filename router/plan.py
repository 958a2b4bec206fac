"""How to get HAProxy from what it serves to what it shall serve: decided here, carried out by ``router.apply``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from router.model import Model, RouteSection


class ReloadCause(StrEnum):
    """The kinds of reasons for a reload; few, for they label a metric."""

    START = "start"
    ROUTE_ADDED = "route-added"
    ROUTE_REMOVED = "route-removed"
    PORT_CHANGED = "port-changed"
    OPTIONS_CHANGED = "options-changed"
    SERVERS_CHANGED = "servers-changed"
    HOSTS_CHANGED = "hosts-changed"
    TEMPLATES_CHANGED = "templates-changed"


@dataclass(frozen=True, slots=True, order=True)
class ReloadReason:
    """Why a reload is needed. ``subject`` is the Route (``namespace/name``) or port concerned, empty for all of them."""

    cause: ReloadCause
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.cause} {self.subject}".rstrip()


@dataclass(frozen=True, slots=True)
class NoChange:
    """HAProxy serves what it shall serve."""


@dataclass(frozen=True, slots=True)
class Reload:
    """A new configuration file and a new worker, for these reasons (sorted, at least one)."""

    reasons: tuple[ReloadReason, ...]


Plan = NoChange | Reload


def plan(applied: Model | None, desired: Model) -> Plan:
    """Compare what HAProxy serves with what it shall serve.

    Args:
        applied: the model that the running HAProxy is known to serve; None if nothing is known of it.
        desired: the model that it shall serve.
    """
    if applied is None:
        return Reload((ReloadReason(ReloadCause.START),))
    if applied == desired:
        return NoChange()
    return Reload(tuple(sorted({*_route_reasons(applied, desired), *_shared_reasons(applied, desired)})))


def _route_reasons(applied: Model, desired: Model) -> Iterator[ReloadReason]:
    before = {(section.namespace, section.route): section for section in applied.routes}
    after = {(section.namespace, section.route): section for section in desired.routes}
    for key in before.keys() - after.keys():
        yield ReloadReason(ReloadCause.ROUTE_REMOVED, "/".join(key))
    for key, section in after.items():
        former = before.get(key)
        if former is None:
            yield ReloadReason(ReloadCause.ROUTE_ADDED, "/".join(key))
        elif former is not section and former != section:
            yield ReloadReason(_difference(former, section), "/".join(key))


def _difference(before: RouteSection, after: RouteSection) -> ReloadCause:
    if _port(before) != _port(after):
        return ReloadCause.PORT_CHANGED
    if before.backend.servers != after.backend.servers:
        return ReloadCause.SERVERS_CHANGED
    return ReloadCause.OPTIONS_CHANGED


def _port(section: RouteSection) -> int | None:
    return section.frontend.port if section.frontend is not None else None


def _shared_reasons(applied: Model, desired: Model) -> Iterator[ReloadReason]:
    before = {shared.port: shared for shared in applied.shared}
    after = {shared.port: shared for shared in desired.shared}
    for port in before.keys() ^ after.keys():
        yield ReloadReason(ReloadCause.PORT_CHANGED, str(port))
    for port in before.keys() & after.keys():
        if before[port].hosts != after[port].hosts:
            yield ReloadReason(ReloadCause.HOSTS_CHANGED, str(port))
        elif before[port] != after[port]:
            yield ReloadReason(ReloadCause.OPTIONS_CHANGED, str(port))
