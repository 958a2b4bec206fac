"""Which TCPRoutePolicies hold for a listener or a route, and whose word counts for each field; pure, and of objects alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from router.admission.gateway.merging import age_of
from router.admission.gateway.states import GATEWAY_KIND, LISTENER_SET_KIND
from router.admission.gateway.ways import gateway_of
from router.admission.gateway.wishes import CLIENT_KEYS, FIELDS, LOWEST, annotations_in
from router.admission.options import IP_ALLOWLIST, TLS_MIN_VERSION
from router.objects.gateway import GROUP
from router.objects.gateway_objects import GatewayObjects
from router.objects.meta import ObjectKey
from router.objects.tcp_route_policy import TcpRoutePolicy


@dataclass(frozen=True, slots=True)
class Level:
    """One policy, and what of it holds for somebody."""

    place: str
    """What it targets, in words."""
    policy: TcpRoutePolicy
    imposes: bool = False
    """It is of the Gateway, and the listener of a ListenerSet."""


@dataclass(frozen=True, slots=True)
class Word:
    """What one policy says of a field."""

    level: Level
    value: str
    counts: bool
    """Whether it is gone by."""


def policy_of(api: GatewayObjects, kind: str, key: ObjectKey, section: str = "") -> TcpRoutePolicy | None:
    """Give the policy that has a target: the oldest, then the first by name, whether it can be read or not."""
    there = (
        each
        for each in list(api.policies.values())
        if each.metadata.namespace == key.namespace
        and any(
            (ref.group, ref.kind, ref.name, ref.section_name or "") == (GROUP, kind, key.name, section)
            for ref in each.spec.target_refs
        )
    )
    return min(there, key=lambda each: age_of(each.metadata), default=None)


def levels_of_listener(api: GatewayObjects, kind: str, key: ObjectKey, section: str) -> tuple[Level, ...]:
    """Give the policies that hold for a listener of a Gateway or ListenerSet, the most specific one first."""
    places = [
        (kind, key, section, f"listener {section} of {kind} {key}", False),
        (kind, key, "", f"{kind} {key}", False),
    ]
    listener_set = api.listener_sets.get(key) if kind == LISTENER_SET_KIND else None
    gateway = gateway_of(listener_set) if listener_set is not None else None
    if gateway is not None:
        places.append((GATEWAY_KIND, gateway, "", f"{GATEWAY_KIND} {gateway}", True))
    found = ((policy_of(api, of, at, listener), words, imposes) for of, at, listener, words, imposes in places)
    return tuple(Level(words, policy, imposes) for policy, words, imposes in found if policy is not None)


def level_of_route(api: GatewayObjects, kind: str, key: ObjectKey) -> tuple[Level, ...]:
    """Give the policy that holds for a route by itself, if there is one."""
    policy = policy_of(api, kind, key)
    return (Level(f"{kind} {key}", policy),) if policy is not None else ()


def fields_in(policy: TcpRoutePolicy) -> Mapping[str, str]:
    """Give what a policy says, by the path behind ``spec``."""
    said = annotations_in(policy)
    return {path: said[key] for path, key in FIELDS.items() if key in said}


def words_on(levels: tuple[Level, ...]) -> Iterator[tuple[str, tuple[Word, ...]]]:
    """Give for each field that somebody says what each of them says, and whose word counts."""
    said = [(level, fields_in(level.policy)) for level in levels]
    for path, key in FIELDS.items():
        there = [(level, fields[path]) for level, fields in said if path in fields]
        if there:
            counting = _counting(key, there, levels)
            yield path, tuple(Word(level, value, level in counting) for level, value in there)


def _counting(key: str, there: list[tuple[Level, str]], levels: tuple[Level, ...]) -> list[Level]:
    if key == IP_ALLOWLIST:
        return [level for level, _ in there]
    if key in LOWEST:
        return [min(there, key=lambda each: int(each[1]))[0]]
    if key in CLIENT_KEYS:
        # These come from one policy as a whole: that of the Gateway, for listeners of its ListenerSets.
        having = [level for level in levels if CLIENT_KEYS & annotations_in(level.policy).keys()]
        return [next((level for level in having if level.imposes), having[0])]
    first = there[0]
    imposed = next((each for each in there if each[0].imposes), first)
    return [max(first, imposed, key=lambda each: each[1])[0]] if key == TLS_MIN_VERSION else [first[0]]
