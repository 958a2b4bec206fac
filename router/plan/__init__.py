"""How to get HAProxy from what it serves to what it shall serve: decided here, carried out by ``router.reconcile.apply``; pure."""

from __future__ import annotations

from router.model import Model
from router.plan.limits import with_limits
from router.plan.outcome import NoChange, Plan, Reload, ReloadCause, ReloadReason, RuntimeUpdate
from router.plan.running import Running
from router.plan.texts import Texts
from router.plan.update import Update

__all__ = ["NoChange", "Plan", "Reload", "ReloadCause", "ReloadReason", "RuntimeUpdate", "Texts", "plan"]


def plan(running: Running | None, desired: Model, texts: Texts, unknown: ReloadReason | None = None) -> Plan:
    """Compare what HAProxy serves with what it shall serve.

    Args:
        running: what the HAProxy that runs is known to have; None if nothing is known of it.
        desired: what it shall serve.
        texts: what the templates make of sections.
        unknown: why nothing is known of it; None is that it starts.
    """
    if running is None:
        return Reload((unknown or ReloadReason(ReloadCause.START),))
    update = Update(running, texts)
    update.routes(desired.routes, desired.advance)
    update.shared(desired.shared)
    return with_limits(update.result(desired), running, desired)
