"""One watch with its thread, and how it stands with a kind by all of its watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.cluster.handle import Handle
from router.cluster.kinds import Resource
from router.cluster.namespaces import NamespaceReader
from router.cluster.reflector import Reflector
from router.cluster.sources import KindState
from router.supervisor import OwnedThread


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch and its thread."""

    resource: Resource
    reflector: Reflector | NamespaceReader
    handle: Handle
    thread: OwnedThread
    source: str


def state_of(watches: Sequence[Watch], held: int, withheld: str = "") -> KindState:
    """Say how it stands with a kind.

    Args:
        watches: all of that kind.
        held: how many of its objects are kept.
        withheld: what it comes to that the kind may not be read, as ``KindState`` has it.
    """
    reflectors = [watch.reflector for watch in watches]
    problems = [watch.thread.problem or watch.reflector.problem for watch in watches]
    events_s = [reflector.last_event_s for reflector in reflectors if reflector.last_event_s is not None]
    return KindState(
        is_synced=all(reflector.is_listed for reflector in reflectors),
        is_connected=all(watch.reflector.is_connected and watch.thread.is_running for watch in watches),
        held=held,
        last_event_s=max(events_s, default=None),
        problem=next(filter(None, problems), ""),
        is_forbidden=any(reflector.cause == "forbidden" for reflector in reflectors),
        withheld=withheld,
    )
