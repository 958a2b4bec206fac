"""TCPRoutePolicies by what they target, and who of several has a target (GEP-713): the oldest, then by name; whether it can be read or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace

from router.admission.client_certificates import config_maps_of
from router.admission.gateway.imposed import NOTHING_IMPOSED, Imposed, has_clients, impose, under
from router.admission.gateway.index import Index
from router.admission.gateway.listeners import ListenerView, ends_tls
from router.admission.gateway.merging import age_of
from router.admission.gateway.states import (
    ACCEPTED,
    ALL_ACCEPTED,
    GATEWAY_KIND,
    LISTENER_SET_KIND,
    AncestorState,
    PolicyState,
    Said,
    StateKey,
    not_so,
)
from router.admission.gateway.things import object_of
from router.admission.gateway.wishes import (
    CLIENT_KEYS,
    NO_WISHES,
    Wishes,
    annotations_in,
    merged,
    of_route,
    read_wishes,
)
from router.admission.last_good import LastGood
from router.admission.termination import Credentials
from router.admission.text import shown
from router.objects.gateway import GROUP, Gateway, ListenerSet
from router.objects.gateway_objects import GatewayObjects
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.objects.tcp_route_policy import POLICY_KIND, PolicyTarget, TcpRoutePolicy
from router.objects.unread import Unread
from router.settings import AdmissionSettings

_PARENTS = (GATEWAY_KIND, LISTENER_SET_KIND)
_ROUTE_KINDS = frozenset({"TCPRoute", "TLSRoute"})
POLICY_KINDS: frozenset[type[KubernetesObject]] = frozenset({TcpRoutePolicy, Unread})
"""What ``PolicyBook.take`` takes note of."""
_TARGETS = f"{', '.join((*_PARENTS, *sorted(_ROUTE_KINDS)))} (group {GROUP})"
Place = tuple[StateKey, str]
"""What is targeted: an object, and of a Gateway or a ListenerSet a listener by name; empty is all of it."""


class PolicyBook:
    """Follows all of them.

    Args:
        settings: what may be served.
        gateways_of: gives the Gateways that a route names, or a ListenerSet.
    """

    def __init__(self, settings: AdmissionSettings, gateways_of: Callable[[StateKey], frozenset[ObjectKey]]) -> None:
        self._settings = settings
        self._gateways_of = gateways_of
        self._policies: dict[ObjectKey, tuple[TcpRoutePolicy, Wishes, dict[str, str]]] = {}
        self._by_place: Index[Place, ObjectKey] = Index()
        self._by_object: Index[StateKey, ObjectKey] = Index()
        self._by_config_map: Index[ObjectKey, ObjectKey] = Index()
        self._last_good = LastGood()
        self._unread: dict[str, Wishes] = {}
        """By the namespace of which no policy can be read, empty for all of them, what holds meanwhile: nobody is led on."""

    def take(self, slot: Slot, api: GatewayObjects) -> tuple[AbstractSet[ObjectKey], AbstractSet[StateKey]]:
        """Take note of a policy that was added or changed, or is gone, or of what is not known of them; give the Gateways and routes that it concerns."""
        kind, key = slot
        if kind is TcpRoutePolicy:
            return self._put(key, api.policies.get(key))
        unread = api.unread.get(key)
        if unread is None:
            self._unread.pop(key.namespace, None)
        else:
            self._unread[key.namespace] = Wishes(problem=unread.problem, is_unread=True)
        routes = {StateKey(name, *route) for name, known in _routes(api) for route in known}
        # That is rare, and of a ListenerSet nobody here knows the Gateway.
        return api.gateways.keys(), routes

    def _closed(self, namespace: str) -> Wishes | None:
        return (self._unread.get(namespace) or self._unread.get("")) if self._unread else None

    def _put(self, key: ObjectKey, policy: TcpRoutePolicy | None) -> tuple[set[ObjectKey], set[StateKey]]:
        former = self._by_object.keys_of(key)
        if policy is None:
            self._policies.pop(key, None)
            self._last_good.forget((TcpRoutePolicy, key))
        else:
            said = annotations_in(policy)
            self._policies[key] = policy, read_wishes(policy, self._settings), said
        places = [place for each in _refs(policy) if (place := _place(each, key.namespace)) is not None]
        self._by_place.put(key, places)
        self._by_object.put(key, (target for target, _ in places))
        self._by_config_map.put(
            key, config_maps_of(self._policies[key][2], key.namespace) if policy is not None else ()
        )
        targets = former | self._by_object.keys_of(key)
        return self._parents(targets), {each for each in targets if each.kind in _ROUTE_KINDS}

    def naming(self, config_map: ObjectKey) -> AbstractSet[ObjectKey]:
        """Give the Gateways whose policies name a ConfigMap, or those of their ListenerSets."""
        policies = self._by_config_map.of(config_map)
        return self._parents(target for policy in policies for target in self._by_object.keys_of(policy))

    def _parents(self, targets: Iterable[StateKey]) -> set[ObjectKey]:
        """Give those of the targets that are Gateways, and the Gateways of those that are ListenerSets."""
        found: set[ObjectKey] = set()
        for each in targets:
            if each.kind == GATEWAY_KIND:
                found.add(ObjectKey(each.namespace, each.name))
            elif each.kind == LISTENER_SET_KIND:
                found |= self._gateways_of(each)
        return found

    def of(self, targets: Iterable[StateKey]) -> set[ObjectKey]:
        """Give the policies that target any of these."""
        return {policy for target in targets for policy in self._by_object.of(target)} if self._policies else set()

    def wishes(self, route: StateKey) -> Wishes:
        """Give what is said of a route itself."""
        closed = self._closed(route.namespace)
        if closed is not None:
            return closed
        policy = self._having((route, "")) if self._policies else None
        return of_route(self._policies[policy][1]) if policy is not None else NO_WISHES

    def has_word(self, owner: StateKey, gateway: StateKey) -> bool:
        """Say whether anything may be said of the listeners of a Gateway, or of a ListenerSet (``owner``) of it; if not, ``seen`` gives each as it is."""
        if self._closed(gateway.namespace) is not None or self._closed(owner.namespace) is not None:
            return True
        return bool(self._by_object.of(gateway) or self._by_object.of(owner))

    def seen(self, view: ListenerView, owner: StateKey, gateway: StateKey, credentials: Credentials) -> ListenerView:
        """Give a listener with what is said of it.

        Args:
            view: the listener.
            owner: what has it: a Gateway, or a ListenerSet of one.
            gateway: that Gateway, whose policy holds for listeners of ListenerSets, too.
            credentials: ConfigMaps that policies may refer to.
        """
        closed = self._closed(gateway.namespace) or self._closed(owner.namespace)
        if closed is not None:
            return replace(view, imposed=Imposed(closed))
        own, credentials = self._said((owner, view.listener.name), (owner, ""), credentials)
        namespace = owner.namespace
        if owner != gateway:
            imposer, credentials = self._said((gateway, ""), (gateway, ""), credentials)
            namespace = gateway.namespace if has_clients(imposer) else namespace
            own = under(imposer, own, is_foreign=owner.namespace != gateway.namespace)
        if own == NO_WISHES:
            return replace(view, imposed=NOTHING_IMPOSED)
        imposed = impose(own, namespace, self._settings, credentials, ends_tls=ends_tls(view.listener))
        return replace(view, imposed=imposed)

    def _said(self, first: Place, second: Place, credentials: Credentials) -> tuple[Wishes, Credentials]:
        """Give what is said of a place and of another, the first being the more specific one, and credentials with the ConfigMaps for it."""
        wishes = NO_WISHES
        for place in dict.fromkeys((first, second)):
            having = self._having(place)
            if having is not None:
                credentials = self._known(having, credentials)
                wishes = merged(wishes, self._policies[having][1])
        return wishes, credentials

    def tell(self, key: ObjectKey, objects: Objects, ours: AbstractSet[ObjectKey]) -> PolicyState | None:
        """Give what a policy is told of each of its targets that is ours, or that is not there.

        Args:
            key: of the policy.
            objects: all that there is.
            ours: the Gateways that are of a class of this router's.
        """
        if key not in self._policies:
            return None
        policy = self._policies[key][0]
        said = []
        for ref in dict.fromkeys(policy.spec.target_refs):
            told = self._told(key, ref, objects, ours)
            if told is not None:
                said.append(AncestorState(ref, told))
        has_entry = any(
            each.controller_name == self._settings.gateway_controller for each in policy.status.ancestors or ()
        )
        if not said and not has_entry:
            return None
        return PolicyState(
            key=StateKey(POLICY_KIND, *key),
            uid=policy.metadata.uid,
            generation=policy.metadata.generation,
            ancestors=tuple(said),
        )

    def _told(self, key: ObjectKey, ref: PolicyTarget, objects: Objects, ours: AbstractSet[ObjectKey]) -> Said | None:
        place = _place(ref, key.namespace)
        if place is None:
            named = shown(f"{ref.kind}.{ref.group}" if ref.group else ref.kind)
            section = f" with sectionName {shown(ref.section_name)}" if ref.section_name else ""
            return not_so(
                ACCEPTED,
                "Invalid",
                f"targetRef is a {named}{section}; accepted are {_TARGETS}, and sectionName with {' and '.join(_PARENTS)}",
            )
        target, section = place
        found = object_of(target, objects.gateway_api)
        if found is None:
            return not_so(ACCEPTED, "TargetNotFound", f"{target} does not exist")
        parent = found if isinstance(found, Gateway | ListenerSet) else None
        if not ours & ({found.key} if isinstance(found, Gateway) else self._gateways_of(target)):
            return None
        if section and parent is not None and all(each.name != section for each in parent.spec.listeners or ()):
            return not_so(ACCEPTED, "TargetNotFound", f"{target} has no listener {shown(section)}")
        having = self._having(place)
        if having is not None and having != key:
            return not_so(
                ACCEPTED,
                "Conflicted",
                f"{POLICY_KIND} {having} targets the same, and is older: this one has no effect there",
            )
        return self._judged(key, section, parent, objects.credentials)

    def _judged(
        self, key: ObjectKey, section: str, parent: Gateway | ListenerSet | None, credentials: Credentials
    ) -> Said:
        """Say whether a policy that has its target can be kept there."""
        wishes = self._policies[key][1]
        if parent is None:
            wishes = of_route(wishes)
        elif not wishes.problem:
            meant = [each for each in parent.spec.listeners or () if section in {"", each.name}]
            is_ending = any(map(ends_tls, meant))
            known = self._known(key, credentials)
            # Of a Gateway's listeners those that cannot be asked for certificates say so themselves.
            wishes = impose(wishes, key.namespace, self._settings, known, ends_tls=is_ending).wishes
            if isinstance(parent, ListenerSet):
                wishes = self._below(parent, wishes)
        if wishes.problem:
            return not_so(ACCEPTED, "Invalid", f"{wishes.problem}; nothing is led on by what it targets")
        return ALL_ACCEPTED._replace(message="; ".join(wishes.warnings))

    def _below(self, listener_set: ListenerSet, wishes: Wishes) -> Wishes:
        """Give what a ListenerSet's policy says, with why that cannot be below the policies of its Gateway."""
        for gateway in sorted(self._gateways_of(StateKey(LISTENER_SET_KIND, *listener_set.key))):
            having = self._having((StateKey(GATEWAY_KIND, *gateway), ""))
            imposer = self._policies[having][1] if having is not None else NO_WISHES
            if not imposer.problem:
                both = under(imposer, wishes, is_foreign=gateway.namespace != listener_set.metadata.namespace)
                wishes = replace(wishes, problem=both.problem)
        return wishes

    def _known(self, key: ObjectKey, credentials: Credentials) -> Credentials:
        """Give credentials with the ConfigMaps of a policy as they were when they last were of use."""
        said = self._policies[key][2]
        if not CLIENT_KEYS & said.keys():
            return credentials
        kept = self._last_good.config_maps((TcpRoutePolicy, key), said, key.namespace, credentials)
        return {**credentials, **kept} if kept is not None else credentials

    def _having(self, place: Place) -> ObjectKey | None:
        """Give the policy that a target goes by."""
        there = self._by_place.of(place)
        return min(there, key=lambda each: age_of(self._policies[each][0].metadata)) if there else None


def _refs(policy: TcpRoutePolicy | None) -> Iterator[PolicyTarget]:
    yield from policy.spec.target_refs if policy is not None else ()


def _routes(api: GatewayObjects) -> Iterator[tuple[str, Iterable[ObjectKey]]]:
    yield "TCPRoute", api.tcp_routes
    yield "TLSRoute", api.tls_routes


def _place(ref: PolicyTarget, namespace: str) -> Place | None:
    if ref.group != GROUP or (ref.kind not in _PARENTS and (ref.kind not in _ROUTE_KINDS or ref.section_name)):
        return None
    return StateKey(ref.kind, namespace, ref.name), ref.section_name or ""
