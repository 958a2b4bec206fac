"""Which objects changed, by their keys."""

from __future__ import annotations

import msgspec

from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey


class Changes(msgspec.Struct, frozen=True, gc=False):
    """Keys of what may be different. A changed slice, and what a name resolves to, counts as a change of its Service."""

    askers: frozenset[Slot] = frozenset()
    """Of objects that may ask to be served, or might before: a Service can be among these, and among ``services``."""
    services: frozenset[ObjectKey] = frozenset()
    routers: frozenset[ObjectKey] = frozenset()
    claims: frozenset[ObjectKey] = frozenset()
    namespaces: frozenset[ObjectKey] = frozenset()
    credentials: frozenset[ObjectKey] = frozenset()
    has_policy: bool = False
    """Whether the file about the ports of namespaces is among them."""
    notes: frozenset[ObjectKey] = frozenset()
    """Those about ports are in no namespace, those about askers in theirs."""

    pair_notes: frozenset[ObjectKey] = frozenset()
    has_memory: bool = False
    """Whether it is otherwise now whether there are PortClaims at all."""
    gateway_api: frozenset[Slot] = frozenset()
    """Gateways and ListenerSets are among the askers, too."""
    told: frozenset[Slot] = frozenset()
    """Further ones of the Gateway API of which nothing but the status is otherwise, as after each that is written."""

    def __bool__(self) -> bool:
        return bool(self.services) or self._has_others

    @property
    def _has_others(self) -> bool:
        of_askers = self.askers or self.routers or self.gateway_api or self.credentials or self.told
        of_policy = self.namespaces or self.has_policy
        return bool(of_askers or self.claims or of_policy or self.notes or self.has_memory or self.pair_notes)

    @property
    def is_of_services(self) -> bool:
        """Whether nothing but Services by which nobody asks is among them, or their slices: as it is when endpoints move."""
        return bool(self.services) and not self._has_others

    @property
    def is_told(self) -> bool:
        """Whether nothing is otherwise but statuses of the Gateway API."""
        return bool(self.told) and self == Changes(told=self.told)

    def but(self, **others: object) -> Changes:
        """Give the same with some fields otherwise."""
        return msgspec.structs.replace(self, **others)

    def of(self, kind: type[KubernetesObject]) -> frozenset[ObjectKey]:
        """Give the objects of one kind that may ask, or might before."""
        return frozenset(key for each, key in self.askers if each is kind)
