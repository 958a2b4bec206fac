"""Whether the router is alive, and whether it is ready; decided from times and the snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from router.reconcile.snapshot import Snapshot

_LOOP_DEADLINE_S = 60.0
"""A turn may take a large reload's time; far beyond that the loop hangs."""
FAILED_TURNS = 3
"""One that fails is decided anew. What goes on to fail may be mended by a start from nothing."""
_ANSWER_DEADLINE_S = 10.0
"""HAProxy is asked every second."""


@dataclass(frozen=True, slots=True)
class Health:
    """An answer to a probe. ``problems`` is empty when all is well; ``notes`` say what is worth knowing all the same."""

    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the probe succeeds."""
        return not self.problems


def alive(
    snapshot: Snapshot,
    *,
    turned_ago_s: float,
    answered_ago_s: float | None,
    dead_threads: Iterable[str] = (),
    failed_turns: int = 0,
) -> Health:
    """Judge liveness: the loop turns, HAProxy answers, and every thread lives.

    Args:
        snapshot: the controller's last.
        turned_ago_s: seconds since the loop last turned.
        answered_ago_s: seconds since HAProxy last answered, None if it never did.
        dead_threads: a sentence for each thread that died and does not run again yet.
        failed_turns: how many turns of the loop in a row raised what nobody foresaw.
    """
    problems = list(dead_threads)
    if failed_turns >= FAILED_TURNS:
        problems.append(f"{failed_turns} turns of the reconcile loop in a row failed: {snapshot.problem}")
    if turned_ago_s > _LOOP_DEADLINE_S:
        problems.append(f"the reconcile loop has not turned for {turned_ago_s:.0f} seconds")
    # A HAProxy that drains is left alone: whoever asks it something keeps it from ending.
    if (
        snapshot.configured
        and not snapshot.stopping
        and (answered_ago_s is None or answered_ago_s > _ANSWER_DEADLINE_S)
    ):
        since = "yet" if answered_ago_s is None else f"for {answered_ago_s:.0f} seconds"
        problems.append(f"HAProxy has not answered {since}")
    return Health(tuple(problems))


def ready(
    snapshot: Snapshot, input_problems: Iterable[str] = (), *, takes_traffic: bool = True, kept_ports: int = 0
) -> Health:
    """Judge readiness: inputs synced, a configuration applied, HAProxy there, not shutting down.

    A HAProxy that outlived the router before this one serves what that one gave it. Clients are better off with that than with
    nobody, so until something newer is applied it counts as ready, and is called stale.

    Args:
        snapshot: the controller's last.
        input_problems: why inputs cannot be read now, and what to do. Once synced they are no reason not to be ready: what
            is known is served on.
        takes_traffic: HAProxy is there.
        kept_ports: on how many ports it serves by a configuration that was there before this router.
    """
    problems: list[str] = []
    notes: list[str] = []
    if not snapshot.configured:
        if kept_ports and takes_traffic:
            ports = "1 port" if kept_ports == 1 else f"{kept_ports} ports"
            notes.append(f"stale: HAProxy serves on {ports} what it had before this router started")
        (notes or problems).extend(_not_configured(snapshot, input_problems))
    elif not takes_traffic:
        problems.append("HAProxy is down")
    if snapshot.stopping:
        problems.append("the router is shutting down")
    return Health(tuple(problems), tuple(notes))


def _not_configured(snapshot: Snapshot, input_problems: Iterable[str]) -> tuple[str, ...]:
    """Say why nothing has been applied yet."""
    if not snapshot.synced:
        return ("the inputs have not synced yet", *input_problems)
    return (f"no configuration has been applied yet: {snapshot.problem or 'in progress'}",)
