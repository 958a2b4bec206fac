"""What an explanation is made of."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["yes", "no", "warning", "unknown"]


class Step(msgspec.Struct, frozen=True, gc=False):
    """One step of the way: whether it is well, in words, and what it consists of."""

    name: str
    state: State
    said: str
    steps: tuple[Step, ...] = ()


class Explanation(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The way of one asker."""

    kind: str
    namespace: str
    name: str
    section: str | None = None
    served: bool | None
    """None: it is not known."""
    verdict: str
    """In a few words: ``served``, ``rejected: PortReserved``, ``left alone``."""
    steps: tuple[Step, ...]
    todo: tuple[str, ...] = ()
    """What to do next, in sentences; empty where all is well."""


def worst(steps: tuple[Step, ...]) -> State:
    """Give the state of a step that consists of others: the worst of theirs."""
    states = {each.state for each in steps}
    order: tuple[State, ...] = ("no", "warning", "unknown")
    return next((each for each in order if each in states), "yes")
