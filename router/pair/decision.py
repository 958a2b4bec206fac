"""What is to be written for the claims of one namespace, given what is there in both clusters; pure.

Only the next step of each claim is decided, whose conditions can be seen to hold; what comes then is decided by what it left behind. So a
process that is killed at any point, and another that begins with nothing but the objects, go on in the same way.

In this order: the finalizer, before all else; the number in the other cluster, then in the first one; the copy; the Services and what belongs to
them. All is taken back in one go, and the finalizer last. Nothing is decided to be gone of a cluster that does not answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router.cluster.kinds import PORT_CLAIMS
from router.pair.copies import has_finalizer, is_copy, without_finalizer
from router.pair.links import Names, delete, surplus
from router.pair.model import Corner, Decision, PairSettings, Probe, Side, Target, View, Write
from router.pair.numbers import held
from router.pair.objects import CLAIMS, COPIED_FROM, PairObject, is_own
from router.pair.one import One
from router.pair.spec import Asked, asked
from router.pair.telling import COPIED, Said, status_write

_SIDES: tuple[Side, Side] = ("local", "remote")


def decide(view: View, settings: PairSettings) -> Decision:
    """Decide the next writes of a namespace.

    Args:
        view: what is known of it.
        settings: of the admin.
    """
    writes: list[Write] = []
    members: list[tuple[PairObject, Asked]] = []
    going: list[PairObject] = []
    for claim in sorted(view.local.claims.values(), key=_age):
        if COPIED_FROM in (claim.metadata.labels or {}):
            continue
        if claim.is_going or not view.is_selected:
            going.append(claim)
        else:
            members.append((claim, asked(claim)))
    paired, beyond = _within(members, settings.max_claims)
    names = {
        side: Names(corner, settings.other(side), paired)
        for side in _SIDES
        if (corner := view.corner(side)) is not None
    }
    for claim in going:
        writes += _taken_back(view, settings, claim, names)
    given: dict[Side, int] = {"local": 0, "remote": 0}
    probes: dict[str, Probe] = {}
    wanted_names: set[str] = set()
    waiting: set[str] = set()
    complete = 0
    for claim, wish in paired:
        one = One(view, settings, claim, wish, names, given)
        steps = [each for each in one.steps() if _may_be_written(view, each)]
        writes += steps
        if all(each.target in view.problems for each in steps):
            writes += _told(view, claim, one.said())
        if one.probe is not None:
            probes[claim.name] = one.probe
        wanted_names |= one.host_names
        if one.is_waiting:
            waiting.add(claim.name)
        complete += one.is_complete and not steps
    for claim, _ in beyond:
        message = f"namespace {view.namespace} has more than {settings.max_claims} claims, which is as many as are paired (--max-claims)"
        writes += _told(view, claim, (Said(COPIED, "False", "TooManyClaims", message),))
    return Decision(
        writes=tuple(each for each in writes if _may_be_written(view, each)),
        probes=probes,
        names=frozenset(wanted_names),
        waiting=frozenset(waiting),
        paired=complete,
        claims=len(members),
        orphans=_orphans(view, settings),
    )


def _age(claim: PairObject) -> tuple[str, str]:
    return claim.metadata.creation_timestamp or "", claim.name


def _within(
    members: list[tuple[PairObject, Asked]], most: int
) -> tuple[list[tuple[PairObject, Asked]], list[tuple[PairObject, Asked]]]:
    """Divide claims into those that are paired and those that are too many: who is paired stays so."""
    if len(members) <= most:
        return members, []
    first = sorted(members, key=lambda each: not has_finalizer(each[0]))
    paired = {claim.name for claim, _ in first[:most]}
    return [each for each in members if each[0].name in paired], [
        each for each in members if each[0].name not in paired
    ]


def _may_be_written(view: View, write: Write) -> bool:
    corner = view.corner(write.target.side)
    return corner is not None and corner.is_connected


def _told(view: View, claim: PairObject, said: tuple[Said, ...]) -> list[Write]:
    write = status_write(claim, said, view.now)
    return [write] if write is not None else []


def _taken_back(view: View, settings: PairSettings, claim: PairObject, names: Mapping[Side, Names]) -> list[Write]:
    """Decide what goes with a claim; its finalizer when all of that is gone, in both clusters."""
    if not has_finalizer(claim):
        return []
    writes: list[Write] = []
    for side in _SIDES:
        corner = view.corner(side)
        if corner is not None:
            writes += _all_of(settings, side, corner, claim, names[side].wanted)
    is_gone = not writes and view.remote is not None and view.remote.is_connected
    return [without_finalizer(claim)] if is_gone else writes


def _all_of(
    settings: PairSettings, side: Side, corner: Corner, claim: PairObject, taken_over: Sequence[str]
) -> list[Write]:
    # A name that another claim of the Service has from now on leads elsewhere in one step, without having been gone.
    writes = surplus(side, corner, settings.other(side), claim, taken_over)
    copy = corner.claims.get(claim.name) if side == "remote" else None
    if copy is not None and is_copy(copy, settings) and not copy.is_going:
        writes.append(delete(side, CLAIMS.name, claim.name, copy))
    own = held(corner, claim, settings.other(side)).own
    if own is not None:
        target = Target(side, PORT_CLAIMS.name, settings.router_namespace(side), own.metadata.name)
        writes.append(Write(
            target=target, verb="delete", claim=claim.name, uid=own.metadata.uid, version=own.metadata.resource_version
        ))  # fmt: skip
    return writes


def _orphans(view: View, settings: PairSettings) -> tuple[Target, ...]:
    """Give what was written for claims that are not there: they went without anybody seeing it, or are not there yet again."""
    known = view.local.claims.keys()
    found: list[Target] = []
    for side in _SIDES:
        corner = view.corner(side)
        if corner is None:
            continue
        other = settings.other(side)
        found += [
            Target(side, "services", view.namespace, each.name)
            for each in corner.services.values()
            if is_own(each.metadata.labels, other) and each.paired_claim not in known
        ]
        if side == "remote":
            found += [
                Target(side, CLAIMS.name, view.namespace, each.name)
                for each in corner.claims.values()
                if is_copy(each, settings) and each.name not in known
            ]
    return tuple(sorted(found))
