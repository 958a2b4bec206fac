"""What objects of the Gateway API are told, but for what depends on claims and on HAProxy: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from router.objects.gateway import ParentRef
from router.objects.tcp_route_policy import PolicyTarget


class Said(NamedTuple):
    """One condition, without its times."""

    type: str
    holds: bool
    reason: str
    message: str = ""


def so(kind: str, reason: str, message: str = "") -> Said:
    """Say that a condition of this type holds."""
    return Said(kind, holds=True, reason=reason, message=message)


def not_so(kind: str, reason: str, message: str = "") -> Said:
    """Say that it does not."""
    return Said(kind, holds=False, reason=reason, message=message)


GATEWAY_KIND, LISTENER_SET_KIND = "Gateway", "ListenerSet"
"""What routes may want to be reached by."""
ACCEPTED, PROGRAMMED, RESOLVED_REFS, CONFLICTED = "Accepted", "Programmed", "ResolvedRefs", "Conflicted"
SERVES = "tcp-router.openshift.io/Serves"
"""The type of our own condition of a route's parent: whether connections are led to it."""


RESOLVED = so(RESOLVED_REFS, "ResolvedRefs")
"""All that something refers to is there, and may be referred to."""
ALL_ACCEPTED = so(ACCEPTED, "Accepted")


class StateKey(NamedTuple):
    """Of which object a state is; sorts by its fields."""

    kind: str
    namespace: str
    """Empty for kinds that are in none."""
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerState:
    """What a listener is told, before it is known whether it has its port."""

    name: str
    kinds: tuple[str, ...]
    """Of routes, which it takes; all of the API's own group."""
    attached: int
    """How many routes it took."""
    is_served: bool = True
    """Whether a port is opened for its protocol."""
    has_certificates: bool = True
    """False where it is to end TLS, and has not got all certificates for that."""
    problem: str = ""
    """Why a policy has it lead nobody anywhere."""
    accepted: Said
    resolved: Said
    conflicted: Said

    @property
    def is_valid(self) -> bool:
        """Whether nothing but others can keep its port from it."""
        return self.accepted.holds


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayState:
    """What a Gateway is told, likewise."""

    key: StateKey
    uid: str
    generation: int
    accepted: Said
    programmed: Said
    address: str = ""
    """The name of the address that it is of; empty is ``--bind-address``."""
    listeners: tuple[ListenerState, ...] = ()
    sets: tuple[StateKey, ...] | None = None
    """The ListenerSets that it takes; None where none names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSetState:
    """What a ListenerSet is told, likewise."""

    key: StateKey
    uid: str
    generation: int
    gateway: StateKey
    accepted: Said
    programmed: Said
    listeners: tuple[ListenerState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentState:
    """What a route is told of one of its parents."""

    ref: ParentRef
    conditions: tuple[Said, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteState:
    """What a route is told; nothing of parents that are not ours."""

    key: StateKey
    uid: str
    generation: int
    parents: tuple[ParentState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassState:
    """What a GatewayClass is told."""

    key: StateKey
    uid: str
    generation: int
    accepted: Said


@dataclass(frozen=True, slots=True)
class AncestorState:
    """What a policy is told of one of its targets."""

    ref: PolicyTarget
    accepted: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyState:
    """What a policy is told; nothing of targets that are not ours."""

    key: StateKey
    uid: str
    generation: int
    ancestors: tuple[AncestorState, ...] = ()


ParentsState = GatewayState | ListenerSetState
"""What has listeners."""
State = ParentsState | RouteState | ClassState | PolicyState
