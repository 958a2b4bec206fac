"""Limits of namespaces change without a reload, whatever else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from router.model import Model, NamespaceLimits
from router.plan import NoChange, Reload, ReloadCause, ReloadReason, RuntimeUpdate
from router.plan.commands import Command
from router.plan.limits import with_limits
from router.plan.running import Running, loaded

BEFORE: NamespaceLimits = (("a", 1), ("b", 2), ("c", 3))
AFTER: NamespaceLimits = (("b", 2), ("c", 4), ("d", 5))
COMMANDS = tuple(map(Command, ("del map /m a", "set map /m c 4", "add map /m d 5")))


def running(file: str = "/m") -> Running:
    """Make what HAProxy has."""
    return loaded(Model(namespace_limits=BEFORE), {}, "/owners", limits_file=file)


def test_limits_alone_are_commands() -> None:
    """And what runs has them afterwards."""
    made = with_limits(NoChange(), running(), Model(namespace_limits=AFTER))
    assert isinstance(made, RuntimeUpdate)
    assert (made.commands, made.new_sections) == (COMMANDS, False)
    assert made.after == replace(running(), model=Model(namespace_limits=AFTER))


def test_they_come_before_other_commands() -> None:
    """Of a change, and of what can be done before a reload; a reload that nothing can be done before gets some."""
    desired = Model(namespace_limits=AFTER)
    other = RuntimeUpdate((Command("other"),), running, new_sections=True)
    assert with_limits(other, running(), desired) == structs.replace(other, commands=(*COMMANDS, Command("other")))
    reasons = (ReloadReason(ReloadCause.ROUTE_ADDED, "a/b"),)
    made = with_limits(Reload(reasons, other), running(), desired)
    assert made == Reload(reasons, structs.replace(other, commands=(*COMMANDS, Command("other"))))
    made = with_limits(Reload(reasons), running(), desired)
    assert isinstance(made, Reload)
    assert made.meanwhile is not None
    assert made.meanwhile.commands == COMMANDS
    assert made.meanwhile.after.model.namespace_limits == AFTER


@pytest.mark.parametrize(("file", "limits"), [("", AFTER), ("/m", BEFORE)], ids=["no map", "the same"])
def test_nothing_to_do(file: str, limits: NamespaceLimits) -> None:
    """Where templates have no such map, or nothing changed."""
    assert with_limits(NoChange(), running(file), Model(namespace_limits=limits)) == NoChange()
