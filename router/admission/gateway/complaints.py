"""What objects of the Gateway API are told that is not as their owners want it, in words."""

from __future__ import annotations

from collections.abc import Iterator

from router.admission.gateway.states import (
    CONFLICTED,
    ClassState,
    GatewayState,
    ListenerSetState,
    PolicyState,
    RouteState,
    Said,
    State,
)


def complaints(state: State) -> Iterator[str]:
    """Give a sentence for each condition that does not hold and should, and for each conflict."""
    match state:
        case ClassState():
            yield from _of("", state.accepted)
        case GatewayState() | ListenerSetState():
            yield from _of("", state.accepted, state.programmed)
            for listener in state.listeners:
                if listener.accepted.holds and listener.resolved.holds:
                    continue
                yield from _of(f"listener {listener.name}: ", listener.accepted, listener.resolved)
        case PolicyState():
            for each in state.ancestors:
                section = f" listener {each.ref.section_name}" if each.ref.section_name else ""
                yield from _of(f"target {each.ref.kind} {each.ref.name}{section}: ", each.accepted)
        case RouteState():
            for parent in state.parents:
                yield from _of(f"parent {parent.ref.name}: ", *parent.conditions)


def _of(subject: str, *said: Said) -> Iterator[str]:
    for each in said:
        if each.holds is (each.type == CONFLICTED):
            about = f": {each.message}" if each.message else ""
            yield f"{subject}{each.type.rpartition('/')[2]} is {each.holds} ({each.reason}){about}"
