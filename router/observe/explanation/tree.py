"""An explanation as text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from router.admission.gateway.states import GATEWAY_KIND, LISTENER_SET_KIND
from router.observe.explanation.words import Explanation, State, Step

_MARKS: dict[State, str] = {"yes": "ok", "no": "NO", "warning": "! ", "unknown": "? "}


def tree(explanation: Explanation) -> str:
    """Give the way as lines: each step with its state, what it consists of below it, and at the end what to do."""
    of = "listener" if explanation.kind in {GATEWAY_KIND, LISTENER_SET_KIND} else "port"
    section = f" {of} {explanation.section}" if explanation.section else ""
    lines = [f"{explanation.kind} {explanation.namespace}/{explanation.name}{section}: {explanation.verdict}"]
    width = max((len(each.name) for each in explanation.steps), default=0)
    for step in explanation.steps:
        lines.append(f"  {_MARKS[step.state]} {step.name.ljust(width)}  {step.said}")
        lines.extend(_below(step.steps, " " * (width + 7)))
    if explanation.todo:
        lines += ["", "What to do:", *(f"  - {each}" for each in explanation.todo)]
    return "\n".join(lines)


def _below(steps: tuple[Step, ...], indent: str) -> Iterator[str]:
    for step in steps:
        mark = "" if step.state == "yes" else f"{_MARKS[step.state].strip()} "
        yield f"{indent}{mark}{step.name}: {step.said}"
        yield from _below(step.steps, f"{indent}  ")
