"""What was last seen of one cluster: by its watches, and by the answers to what is written, which often come first."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from router.cluster.decoding import version_number
from router.cluster.kinds import NAMESPACES, SERVICES
from router.objects.meta import ObjectKey
from router.objects.portclaim import PortClaim
from router.objects.porter import CLAIM_KIND
from router.pair.model import Corner
from router.pair.objects import CLAIMS, ENDPOINTS, SLICES, PairObject

_Key = TypeVar("_Key")
_MANY = 1 << 16
_MOST_DEAD = 10_000


class Seen:
    """The objects of one cluster; any thread.

    Args:
        ledger: of its router; PortClaims of others are passed over.
        changed: is told of namespaces of which something is otherwise than before; of all of them by None.
    """

    def __init__(self, ledger: str, changed: Callable[[str | None], None]) -> None:
        self._ledger = ledger
        self._changed = changed
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, dict[str, PairObject]]] = {
            each.name: {} for each in (CLAIMS, SERVICES, ENDPOINTS, SLICES, NAMESPACES)
        }
        """By resource, namespace and name."""
        self._dead: OrderedDict[str, None] = OrderedDict()
        """Uids of what was deleted lately: the answer to a write may come after the watch has told that."""
        self._port_claims: dict[str, PortClaim] = {}
        self._by_holder: dict[str, dict[str, set[str]]] = {}
        """Names of PortClaims by namespace and name of the claim that is their holder."""
        self._at: dict[int, set[str]] = {}
        """The same by port."""
        self._uses: Counter[int] = Counter()
        self._taken = 0

    # Any thread

    def put(self, resource: str, obj: PairObject) -> None:
        """Take an object as it is now; one that is older than what is known is passed over."""
        namespace = _scope(resource, obj)
        with self._lock:
            there = self._objects[resource].setdefault(namespace, {})
            if obj.metadata.uid in self._dead or _is_older(obj, there.get(obj.name)):
                if not there:
                    del self._objects[resource][namespace]
                return
            there[obj.name] = obj
        self._changed(obj.name if resource == NAMESPACES.name else namespace)

    def delete(self, resource: str, key: ObjectKey, *, version: str = "", uid: str = "") -> None:
        """Take note that an object is gone.

        Args:
            resource: which kind.
            key: its namespace and name.
            version: the resourceVersion of its deletion, where it is known: what is newer is another object of that name.
            uid: the object's own, likewise.
        """
        namespace = "" if resource == NAMESPACES.name else key.namespace
        with self._lock:
            there = self._objects[resource].get(namespace, {})
            if _is_another(there.get(key.name), version, uid):
                return
            self._bury(there.pop(key.name, None))
            if not there:
                self._objects[resource].pop(namespace, None)
        self._changed(key.name if resource == NAMESPACES.name else namespace)

    def replace(self, resource: str, listed: Iterable[PairObject], kept: Iterable[ObjectKey]) -> None:
        """Take these for all that there is of a resource; those of ``kept`` cannot be read now, and stay as they were known."""
        fresh: dict[str, dict[str, PairObject]] = {}
        with self._lock:
            known = self._objects[resource]
            for key in kept:
                if (former := known.get(key.namespace, {}).get(key.name)) is not None:
                    fresh.setdefault(key.namespace, {})[key.name] = former
            for obj in listed:
                namespace = _scope(resource, obj)
                former = known.get(namespace, {}).get(obj.name)
                fresh.setdefault(namespace, {})[obj.name] = (
                    former if former is not None and _is_older(obj, former) else obj
                )
            for namespace, members in known.items():
                for name in members.keys() - fresh.get(namespace, {}).keys():
                    self._bury(members[name])
            self._objects[resource] = fresh
        self._changed(None)

    def put_port_claim(self, claim: PortClaim) -> None:
        """Take a PortClaim as it is now."""
        with self._lock:
            known = self._port_claims.get(claim.metadata.name)
            if claim.metadata.uid in self._dead or _is_older(claim, known):
                return
            touched = self._forget(claim.metadata.name) | self._enter(claim)
        self._tell(touched)

    def delete_port_claim(self, name: str, *, version: str = "", uid: str = "") -> None:
        """Take note that a PortClaim is gone; its resourceVersion and uid as for ``delete``."""
        with self._lock:
            if _is_another(self._port_claims.get(name), version, uid):
                return
            self._bury(self._port_claims.get(name))
            touched = self._forget(name)
        self._tell(touched)

    def replace_port_claims(self, listed: Mapping[str, PortClaim], kept: Iterable[str]) -> None:
        """Take these for all PortClaims; those of ``kept`` cannot be read now."""
        with self._lock:
            gone = self._port_claims.keys() - listed.keys() - set(kept)
            for name in gone:
                self._bury(self._port_claims.get(name))
                self._forget(name)
            for name, claim in listed.items():
                self._forget(name)
                self._enter(claim)
        self._changed(None)

    def namespaces_with_claims(self) -> tuple[str, ...]:
        """Give the namespaces in which there are claims."""
        with self._lock:
            return tuple(sorted(self._objects[CLAIMS.name]))

    def labels_of(self, namespace: str) -> Mapping[str, str] | None:
        """Give the labels of a namespace; None where there is none."""
        with self._lock:
            found = self._objects[NAMESPACES.name].get("", {}).get(namespace)
        return (found.metadata.labels or {}) if found is not None else None

    def claim(self, namespace: str, name: str) -> PairObject | None:
        """Give a claim."""
        with self._lock:
            return self._objects[CLAIMS.name].get(namespace, {}).get(name)

    def corner(self, namespace: str, *, is_connected: bool) -> Corner:
        """Give what is known of a namespace."""
        with self._lock:

            def of(resource: str) -> dict[str, PairObject]:
                return dict(self._objects[resource].get(namespace, {}))

            held = {
                claim: tuple(self._port_claims[name] for name in sorted(names))
                for claim, names in self._by_holder.get(namespace, {}).items()
            }
            ports = {each.spec.port for claims in held.values() for each in claims}
            found = self._objects[NAMESPACES.name].get("", {}).get(namespace)
            return Corner(
                is_connected=is_connected,
                has_namespace=found is not None and not found.is_going,
                claims=of(CLAIMS.name),
                services=of(SERVICES.name),
                endpoints=of(ENDPOINTS.name),
                slices=of(SLICES.name),
                port_claims=held,
                at={port: tuple(self._port_claims[name] for name in sorted(self._at.get(port, ()))) for port in ports},
                taken=self._taken,
            )

    # With the lock

    def _bury(self, obj: PairObject | PortClaim | None) -> None:
        if obj is None or not obj.metadata.uid:
            return
        self._dead[obj.metadata.uid] = None
        while len(self._dead) > _MOST_DEAD:
            self._dead.popitem(last=False)

    def _enter(self, claim: PortClaim) -> set[str]:
        if claim.spec.ledger != self._ledger:
            return set()
        name = claim.metadata.name
        self._port_claims[name] = claim
        for port in _ports(claim):
            self._uses[port] += 1
            self._taken |= 1 << port
        self._at.setdefault(claim.spec.port, set()).add(name)
        holder = claim.spec.holder
        if holder is None or holder.kind != CLAIM_KIND:
            return self._holders_at(claim.spec.port)
        self._by_holder.setdefault(holder.namespace, {}).setdefault(holder.name, set()).add(name)
        return self._holders_at(claim.spec.port) | {holder.namespace}

    def _forget(self, name: str) -> set[str]:
        claim = self._port_claims.pop(name, None)
        if claim is None:
            return set()
        for port in _ports(claim):
            self._uses[port] -= 1
            if not self._uses[port]:
                del self._uses[port]
                self._taken &= ~(1 << port)
        _drop(self._at, claim.spec.port, name)
        holder = claim.spec.holder
        if holder is None or holder.kind != CLAIM_KIND:
            return self._holders_at(claim.spec.port)
        names = self._by_holder[holder.namespace]
        _drop(names, holder.name, name)
        if not names:
            del self._by_holder[holder.namespace]
        return self._holders_at(claim.spec.port) | {holder.namespace}

    def _holders_at(self, port: int) -> set[str]:
        """Give the namespaces of claims that hold a port: whoever else comes to it is their concern."""
        holders = (self._port_claims[name].spec.holder for name in self._at.get(port, ()))
        return {each.namespace for each in holders if each is not None and each.kind == CLAIM_KIND}

    def _tell(self, namespaces: Iterable[str]) -> None:
        for each in namespaces:
            self._changed(each)


def _drop(index: dict[_Key, set[str]], key: _Key, name: str) -> None:
    members = index[key]
    members.discard(name)
    if not members:
        del index[key]


def _ports(claim: PortClaim) -> Iterator[int]:
    last = (
        claim.spec.port_end if claim.spec.origin == "Reserved" and claim.spec.port_end is not None else claim.spec.port
    )
    yield from range(claim.spec.port, min(last, _MANY - 1) + 1)


def _scope(resource: str, obj: PairObject) -> str:
    return "" if resource == NAMESPACES.name else obj.metadata.namespace


def _is_another(known: PairObject | PortClaim | None, version: str, uid: str) -> bool:
    """Say whether what is known came after the one that is gone: answers to writes come before the watch, which still tells of the former."""
    if known is None:
        return False
    gone, newest = version_number(version), version_number(known.metadata.resource_version)
    return bool(uid and uid != known.metadata.uid) or (gone is not None and newest is not None and newest > gone)


def _is_older(obj: PairObject | PortClaim, known: PairObject | PortClaim | None) -> bool:
    """Say whether something newer is known of the same object."""
    if known is None or known.metadata.uid != obj.metadata.uid:
        return False
    new, old = version_number(obj.metadata.resource_version), version_number(known.metadata.resource_version)
    return new is not None and old is not None and new < old
