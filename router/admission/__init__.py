"""Admission: objects in, model and verdicts out; pure."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.admission.decide import Admission
    from router.admission.outcome import Outcome
    from router.admission.verdicts import Reason, Verdict

__all__ = ["Admission", "Outcome", "Reason", "Verdict"]

_MODULES = {"Admission": "decide", "Outcome": "outcome", "Reason": "verdicts", "Verdict": "verdicts"}


def __getattr__(name: str) -> object:
    """Give what is asked for by name: a command that needs but how a text is written does not wait for all the rest."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
