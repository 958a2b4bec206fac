"""Gateways of ours with their ListenerSets, without any route, as they were last looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from router.admission.certificates import Pair
from router.admission.gateway.certificates import read_certificates
from router.admission.gateway.grants import Grants
from router.admission.gateway.listeners import HTTP_KINDS_OF, KINDS_OF, ListenerView, views
from router.admission.gateway.merging import Seen, see_all
from router.admission.gateway.policy_book import PolicyBook
from router.admission.gateway.standings import Standings
from router.admission.gateway.states import GATEWAY_KIND, StateKey
from router.admission.gateway.things import labels_in, pair_in
from router.admission.gateway.ways import Ways
from router.objects.gateway import Gateway, Listener
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.settings import AdmissionSettings


class Sights:
    """Of one set of objects.

    Args:
        settings: what may be served.
        ways: says which ListenerSets name which Gateway.
        grants: say who may refer to what of other namespaces.
        policies: say what is wished of listeners. All three are kept level by others.
    """

    def __init__(self, settings: AdmissionSettings, ways: Ways, grants: Grants, policies: PolicyBook) -> None:
        self._settings = settings
        self._ways, self._grants, self._policies = ways, grants, policies
        self._kinds_of = {**KINDS_OF, **HTTP_KINDS_OF} if settings.gateway_http else KINDS_OF
        self._ours: set[ObjectKey] = set()
        self._seen: dict[StateKey, Seen] = {}
        self._known: dict[StateKey, dict[str, ListenerView]] = {}
        """Listeners of all these, as ``views`` remembers them."""
        self._held: set[StateKey] = set()

    @property
    def ours(self) -> AbstractSet[ObjectKey]:
        """Gateways of our classes."""
        return self._ours

    @property
    def seen(self) -> Mapping[StateKey, Seen]:
        """Gateways of ours, and ListenerSets that name one."""
        return self._seen

    def hold(self, key: StateKey, *, is_held: bool) -> None:
        """Do not look at a Gateway or a ListenerSet, or do so again."""
        if is_held:
            self._held.add(key)
        else:
            self._held.discard(key)

    def forget(self, listener_set: StateKey) -> None:
        """Have no ListenerSet of this name, until its Gateway is looked at."""
        self._seen.pop(listener_set, None)
        self._known.pop(listener_set, None)

    def look(self, gateway: ObjectKey, objects: Objects) -> AbstractSet[StateKey]:
        """Look at a Gateway and at the ListenerSets that name it; give those of them of which something is otherwise."""
        key, sets = StateKey(GATEWAY_KIND, *gateway), self._ways.sets_of(gateway)
        seen = {each.key: each for each in self._see(key, sets, objects)}
        self._ours.discard(gateway)
        self._ours.update({gateway} if key in seen else ())
        changed = {each for each in (key, *sets) if self._seen.get(each) != seen.get(each)}
        for each in changed:
            self._seen.pop(each, None)
            if each in seen:
                self._seen[each] = seen[each]
            else:
                self._known.pop(each, None)
        return changed

    def _is_ours(self, gateway: Gateway, objects: Objects) -> bool:
        found = objects.gateway_api.classes.get(ObjectKey("", gateway.spec.gateway_class_name))
        # A class that is not acceptable has no Gateways.
        return (
            found is not None
            and found.spec.controller_name == self._settings.gateway_controller
            and found.spec.parameters_ref is None
        )

    def _see(self, key: StateKey, sets: frozenset[StateKey], objects: Objects) -> Iterator[Seen]:
        gateway = objects.gateway_api.gateways.get(ObjectKey(key.namespace, key.name))
        if gateway is None or key in self._held or not self._is_ours(gateway, objects):
            return

        def secret(wanted: ObjectKey) -> Pair | str | None:
            return pair_in(wanted, objects)

        def look(owner: StateKey, listeners: tuple[Listener, ...], before: Standings) -> tuple[ListenerView, ...]:
            found = views(
                listeners,
                self._kinds_of,
                lambda each: read_certificates(each, owner, self._grants, secret),
                before,
                may_end_tls=self._settings.gateway_certificates,
                known=self._known.setdefault(owner, {}),
            )
            if not self._policies.has_word(owner, key):
                return found
            return tuple([self._policies.seen(each, owner, key, objects.credentials) for each in found])

        there = (
            objects.gateway_api.listener_sets.get(ObjectKey(each.namespace, each.name)) for each in sets - self._held
        )
        found = [each for each in there if each is not None]
        yield from see_all(gateway, found, look, labels_in(objects), self._settings)
