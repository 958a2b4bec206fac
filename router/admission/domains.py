"""Who has what under a domain on the SNI port, where a wildcard and hosts of different namespaces do not go together.

A namespace cannot take a host under a wildcard of another, nor a wildcard over another's host, as in OpenShift's router
(openshift/router, pkg/router/controller/host_admitter.go). Who comes first in the queue has it. So of the claims to the wildcard
that one has it which comes before all others of its kind, and before whoever is the first to claim any single host for another
namespace; and whoever comes after it for another namespace has nothing. What is kept here makes this one comparison, however many
hosts there are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from itertools import chain

from router.admission.claims import Claim, Order, domain_of


class Domain:
    """The hosts directly under one domain."""

    def __init__(self) -> None:
        self.wildcard: Claim | None = None
        """Who has all hosts that nobody has by name."""
        self._firsts: dict[str, Claim] = {}
        """By host, the first in its queue."""
        self._of_namespace: dict[str, list[tuple[Order, str]]] = {}
        """By namespace, those that are first for a host, sorted; with the host."""
        self._namespaces: list[tuple[Order, str]] = []
        """Of each namespace the first of these, sorted; with the namespace."""
        self._decided_by: list[tuple[Order, str]] = []
        """The first two of them when the wildcard was last decided: it depends on no other."""

    def __bool__(self) -> bool:
        return bool(self._firsts) or self.wildcard is not None

    def put(self, host: str, first: Claim | None) -> None:
        """Take note of who is the first to claim a host; None is nobody."""
        former = self._firsts.pop(host, None)
        if former is not None:
            self._change(former, host, is_there=False)
        if first is not None:
            self._firsts[host] = first
            self._change(first, host, is_there=True)

    def settle(self, claims: Iterable[Claim], *, are_others: bool) -> set[str]:
        """Decide who has the wildcard among those who claim it; give the hosts, and the wildcard, for which that is news.

        Args:
            claims: to the wildcard.
            are_others: they are others than last time.
        """
        decided_by = self._namespaces[:2]
        if decided_by == self._decided_by and not are_others:
            return set()
        self._decided_by = decided_by
        queue = sorted(claims, key=lambda claim: claim.host_order)
        former, self.wildcard = (
            self.wildcard,
            next((each for each in queue if not self._is_kept_out(each)), None),
        )
        if former == self.wildcard:
            return set()
        concerned = [claim for claim in (former, self.wildcard) if claim is not None]
        namespaces = {claim.domain_owner for claim in concerned}
        wildcard = {claim.host or "" for claim in concerned}
        return wildcard.union(self._firsts if len(namespaces) > 1 else self._hosts_but_of(*namespaces))

    def keeps_out(self, claim: Claim) -> bool:
        """Say whether the wildcard, of another namespace and before it in the queue, keeps out a claim to a single host."""
        wildcard = self.wildcard
        return (
            wildcard is not None
            and wildcard.domain_owner != claim.domain_owner
            and wildcard.host_order < claim.host_order
        )

    def _is_kept_out(self, claim: Claim) -> bool:
        """Say whether a single host, of another namespace and before it in the queue, keeps out a claim to the wildcard."""
        firsts = (order for order, namespace in self._namespaces[:2] if namespace != claim.domain_owner)
        return next(firsts, claim.host_order) < claim.host_order

    def _hosts_but_of(self, namespace: str) -> Iterator[str]:
        others = (places for name, places in self._of_namespace.items() if name != namespace)
        return (host for _, host in chain.from_iterable(others))

    def _change(self, claim: Claim, host: str, *, is_there: bool) -> None:
        namespace = claim.domain_owner
        places = self._of_namespace.setdefault(namespace, [])
        former = places[0] if places else None
        place = (claim.host_order, host)
        if is_there:
            insort(places, place)
        else:
            del places[bisect_left(places, place)]
        current = places[0] if places else None
        if former != current:
            if former is not None:
                del self._namespaces[bisect_left(self._namespaces, (former[0], namespace))]
            if current is not None:
                insort(self._namespaces, (current[0], namespace))
        if not places:
            del self._of_namespace[namespace]


class Domains:
    """All domains."""

    def __init__(self) -> None:
        self._domains: dict[str, Domain] = {}

    def of(self, host: str) -> Domain:
        """Give the domain of a host, or of a wildcard; one that nobody claims anything of is made."""
        return self._domains.setdefault(domain_of(host), Domain())

    def forget_if_empty(self, name: str) -> None:
        """Keep no domain of which nobody claims anything any more."""
        if not self._domains[name]:
            del self._domains[name]
