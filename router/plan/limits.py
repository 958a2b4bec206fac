"""How many connections namespaces may have, changed in the HAProxy that runs; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import msgspec

from router.model import Model, NamespaceLimits
from router.plan import commands
from router.plan.commands import Command
from router.plan.outcome import Plan, Reload, RuntimeUpdate
from router.plan.running import Running


def with_limits(made: Plan, running: Running, desired: Model) -> Plan:
    """Give a plan that changes the limits of namespaces too, which needs no reload."""
    before, after = running.model.namespace_limits, desired.namespace_limits
    if before == after or not running.limits_file:
        return made
    todo = tuple(_changes(running.limits_file, before, after))
    update = made.meanwhile if isinstance(made, Reload) else made
    if isinstance(update, RuntimeUpdate):
        limited = msgspec.structs.replace(update, commands=(*todo, *update.commands))
    else:
        limited = RuntimeUpdate(todo, partial(_limited, running, after), new_sections=False)
    return replace(made, meanwhile=limited) if isinstance(made, Reload) else limited


def _limited(running: Running, limits: NamespaceLimits) -> Running:
    return replace(running, model=replace(running.model, namespace_limits=limits))


def _changes(file: str, before: NamespaceLimits, after: NamespaceLimits) -> Iterator[Command]:
    had, has = dict(before), dict(after)
    for namespace in had.keys() - has.keys():
        yield commands.delete_entry(file, namespace)
    for namespace, limit in after:
        if namespace not in had:
            yield commands.add_entry(file, namespace, str(limit))
        elif had[namespace] != limit:
            yield commands.set_entry(file, namespace, str(limit))
