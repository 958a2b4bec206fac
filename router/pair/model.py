"""What a pair decides by, and what it decides to do: values alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from router.admission.allocation import port_bits
from router.objects.portclaim import PortClaim
from router.pair.objects import PairObject
from router.settings import PortRanges

Side = Literal["local", "remote"]
Verb = Literal["create", "patch", "delete", "status"]


class Target(NamedTuple):
    """What a write is about."""

    side: Side
    resource: str
    """The plural."""
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a write failed; it is tried again."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Reach:
    """What came of connecting to the other side."""

    address: str
    port: int
    problem: str = ""
    """Empty where the connection was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """What an admin says of a pair."""

    local_name: str
    remote_name: str
    local_address: tuple[str, ...] = ()
    """Where clients reach the first cluster's router, in the place of what claims say; IP addresses or names."""
    remote_address: tuple[str, ...] = ()
    claim_ports: PortRanges
    local_ledger: str = "tcp-router"
    remote_ledger: str = "tcp-router"
    local_router_namespace: str = "openshift-ingress"
    remote_router_namespace: str = "openshift-ingress"
    pair_wait_s: float = 60.0
    max_claims: int = 100
    """Of a namespace."""

    @property
    def legal_ports(self) -> int:
        """The ports that claims can have, as bits."""
        return port_bits(self.claim_ports)

    def name(self, side: Side) -> str:
        """Give the name of a cluster."""
        return self.local_name if side == "local" else self.remote_name

    def other(self, side: Side) -> str:
        """Give the name of the cluster on the other side."""
        return self.remote_name if side == "local" else self.local_name

    def address(self, side: Side) -> tuple[str, ...]:
        """Give the addresses that were given of a side; none where claims say them."""
        return self.local_address if side == "local" else self.remote_address

    def ledger(self, side: Side) -> str:
        """Give the ledger of a side's router."""
        return self.local_ledger if side == "local" else self.remote_ledger

    def router_namespace(self, side: Side) -> str:
        """Give the namespace of a side's router, where its PortClaims are."""
        return self.local_router_namespace if side == "local" else self.remote_router_namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Corner:
    """What is in one namespace of one cluster, as it was last known; all of it was read once."""

    is_connected: bool = True
    """Whether the API server answers now. If not, nothing is written there, and nothing is taken for gone."""
    has_namespace: bool = True
    claims: Mapping[str, PairObject] = field(default_factory=dict)
    services: Mapping[str, PairObject] = field(default_factory=dict)
    """All of them, with their labels and ports."""
    endpoints: Mapping[str, PairObject] = field(default_factory=dict)
    """Those of a pair's own; so are the next."""
    slices: Mapping[str, PairObject] = field(default_factory=dict)
    port_claims: Mapping[str, tuple[PortClaim, ...]] = field(default_factory=dict)
    """By the claim that is their holder."""
    at: Mapping[int, tuple[PortClaim, ...]] = field(default_factory=dict)
    """All PortClaims of the ports that those are of."""
    taken: int = 0
    """The ports of which there are PortClaims at all, as bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is known of one namespace."""

    namespace: str
    is_selected: bool
    local: Corner
    remote: Corner | None
    """None while not all of the other cluster was ever read."""
    away_s: float = 0.0
    """How long the other API server has not answered; 0 while it does."""
    waited_s: Mapping[str, float] = field(default_factory=dict)
    """How long claims have waited for a number."""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What names were last resolved to."""
    reach: Mapping[str, Reach] = field(default_factory=dict)
    """By claim."""
    problems: Mapping[Target, Problem] = field(default_factory=dict)
    """Of writes that failed, and are not tried at this moment."""
    now: str = ""
    """The time, as conditions have it."""

    def corner(self, side: Side) -> Corner | None:
        """Give what is known of a side."""
        return self.local if side == "local" else self.remote


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request. A patch is a merge patch of the object as it was known; a delete is of that object alone."""

    target: Target
    verb: Verb
    claim: str
    """For which it is made."""
    body: Mapping[str, Any] = field(default_factory=dict)
    uid: str = ""
    version: str = ""
    told: tuple[tuple[str, str, str], ...] = ()
    """Of a status: status, reason and message of the conditions that are others than before."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Whom to connect to, to find out whether the other side can be reached."""

    address: str
    port: int
    interval_s: int
    timeout_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done for one namespace now. What follows from it is decided when it is done."""

    writes: tuple[Write, ...] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict)
    """By claim."""
    names: frozenset[str] = frozenset()
    """Host names to be resolved."""
    waiting: frozenset[str] = frozenset()
    """Claims that wait for a number."""
    paired: int = 0
    """Claims that have all that they need in both clusters."""
    claims: int = 0
    orphans: tuple[Target, ...] = ()
    """What was written for claims that are not there, and that nobody saw being deleted. It is told, and left."""
