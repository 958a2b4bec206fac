"""The Services, Endpoints and EndpointSlices by which pods on one side reach a claim's port on the other; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from router.pair import bodies
from router.pair.model import Corner, PairSettings, Side, Target, Write
from router.pair.objects import PairObject, is_own
from router.pair.spec import Asked, port_number

MOST_CHARACTERS = 63
"""Of a Service's name."""


@dataclass(frozen=True, slots=True)
class Far:
    """Where the other side of a claim is reached."""

    ips: tuple[str, ...]
    port: int


class Names:
    """Who has which name among the claims of a namespace, on one side.

    Args:
        corner: what is there.
        suffix: the name of the other cluster.
        members: the claims that are paired, with what they ask for; the oldest first.
    """

    def __init__(self, corner: Corner, suffix: str, members: Sequence[tuple[PairObject, Asked]]) -> None:
        self._corner = corner
        self._suffix = suffix
        self._wanted: dict[str, list[str]] = {}
        """By claim, its names."""
        self._wanters: dict[str, list[str]] = {}
        of_service: dict[str, int] = {}
        for _, wish in members:
            of_service[wish.service] = of_service.get(wish.service, 0) + 1
        for claim, wish in members:
            if wish.problem:
                continue
            names = [f"{wish.service}-{suffix}"]
            long = f"{wish.service}-{wish.port}-{suffix}"
            if of_service[wish.service] > 1 or self._has(long) == claim.name:
                # Once written it stays, though the other claims of the Service go: somebody may use it.
                names.append(long)
            self._wanted[claim.name] = names
            for name in names:
                self._wanters.setdefault(name, []).append(claim.name)

    def of(self, claim: str) -> tuple[list[str], list[tuple[str, str]]]:
        """Give the names that a claim has, and why it has not all that it would."""
        mine: list[str] = []
        problems: list[tuple[str, str]] = []
        for name in self._wanted.get(claim, ()):
            owner = self.owner(name)
            there = self._corner.services.get(name)
            if len(name) > MOST_CHARACTERS:
                problems.append(
                    (
                        "NameTooLong",
                        f"Service {name} cannot be: its name has {len(name)} characters, and {MOST_CHARACTERS} are the most",
                    )
                )
            elif there is not None and not is_own(there.metadata.labels, self._suffix):
                problems.append(("NameTaken", f"Service {name} exists, and was not made by the pair: it is left alone"))
            elif owner != claim:
                problems.append(("NameTaken", f"Service {name} is that of TransportServerClaim {owner}"))
            else:
                mine.append(name)
        return mine, problems

    @property
    def wanted(self) -> tuple[str, ...]:
        """All names that any of the claims wants."""
        return tuple(self._wanters)

    def owner(self, name: str) -> str:
        """Give the claim that has a name: the one that it was written for, while that still wants it, else the oldest that wants it."""
        wanters = self._wanters.get(name, [])
        has = self._has(name)
        return has if has in wanters else next(iter(wanters), "")

    def _has(self, name: str) -> str:
        there = self._corner.services.get(name)
        if there is None or not is_own(there.metadata.labels, self._suffix):
            return ""
        return there.paired_claim


def service_ports(wish: Asked, side: Side, corners: Mapping[Side, Corner | None], far: Far) -> tuple[int, ...]:
    """Give the ports on which a Service listens: the claim's own, so that clients use the same as at home, and where it wants that the external one.

    Returns:
        None of them where the claim names a port that no Service has.
    """
    other: Side = "remote" if side == "local" else "local"
    for each in (side, other):
        corner = corners[each]
        if corner is not None and (number := port_number(corner.services.get(wish.service), wish.port)):
            return (number, far.port) if wish.also_external and number != far.port else (number,)
    return ()


def link(  # noqa: PLR0913, PLR0917 - what it is made of
    settings: PairSettings,
    side: Side,
    corner: Corner,
    claim: PairObject,
    names: Sequence[str],
    far: Far,
    ports: tuple[int, ...],
) -> list[Write]:
    """Decide what is to be written on one side so that these Services lead to the other, by these of their ports.

    Endpoints come when the Service is there and ours: those of somebody else's Service are not touched.
    """
    writes: list[Write] = []
    ips = sorted(far.ips)
    for name in names:
        there = corner.services.get(name)
        wanted = bodies.service(settings, side, name, claim.name, ports, far.port, ips)
        if there is None:
            writes.append(_create(side, "services", claim, name, wanted))
            continue
        if there.is_going:
            continue
        writes += _patch(side, "services", claim, there, bodies.service_patch(there, wanted))
        writes += _beside(settings, side, corner, claim, name, bodies.target_ports(ports, far.port), ips)
    return writes


def _beside(  # noqa: PLR0913, PLR0917 - likewise
    settings: PairSettings,
    side: Side,
    corner: Corner,
    claim: PairObject,
    name: str,
    ports: list[bodies.Body],
    ips: list[str],
) -> Iterator[Write]:
    wanted = bodies.endpoints(settings, side, name, claim.name, ports, ips)
    there = corner.endpoints.get(name)
    if there is None:
        yield _create(side, "endpoints", claim, name, wanted)
    else:
        yield from _patch(side, "endpoints", claim, there, bodies.endpoints_patch(there, wanted))
    slices = bodies.slices(settings, side, name, claim.name, ports, ips)
    for own, body in slices.items():
        found = corner.slices.get(own)
        if found is None:
            yield _create(side, "endpointslices", claim, own, body)
        else:
            yield from _patch(side, "endpointslices", claim, found, bodies.slice_patch(found, body))
    for own in (f"{name}-ipv4", f"{name}-ipv6"):
        stale = corner.slices.get(own)
        if own not in slices and stale is not None and not stale.is_going:
            yield delete(side, "endpointslices", claim.name, stale)


def surplus(side: Side, corner: Corner, other: str, claim: PairObject, keeps: Sequence[str] = ()) -> list[Write]:
    """Decide what goes of that which was written for a claim on one side: all but what belongs to the Services of these names."""
    belongs = {*keeps, *(f"{name}-ipv{version}" for name in keeps for version in (4, 6))}
    return [
        delete(side, resource, claim.name, found)
        for resource, there in (
            ("endpointslices", corner.slices),
            ("endpoints", corner.endpoints),
            ("services", corner.services),
        )
        for name, found in sorted(there.items())
        if name not in belongs
        and not found.is_going
        and found.paired_claim == claim.name
        and is_own(found.metadata.labels, other)
    ]


def delete(side: Side, resource: str, claim: str, found: PairObject) -> Write:
    """Give the request that deletes an object as it is known."""
    return Write(
        target=Target(side, resource, found.metadata.namespace, found.name),
        verb="delete",
        claim=claim,
        uid=found.metadata.uid,
        version=found.metadata.resource_version,
    )


def _create(side: Side, resource: str, claim: PairObject, name: str, body: bodies.Body) -> Write:
    return Write(
        target=Target(side, resource, claim.metadata.namespace, name), verb="create", claim=claim.name, body=body
    )


def _patch(side: Side, resource: str, claim: PairObject, there: PairObject, patch: bodies.Body) -> Iterator[Write]:
    if patch and not there.is_going:
        yield Write(
            target=Target(side, resource, there.metadata.namespace, there.name),
            verb="patch",
            claim=claim.name,
            body=patch,
            uid=there.metadata.uid,
            version=there.metadata.resource_version,
        )
