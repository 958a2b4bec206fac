"""The store: what a reader sees of what inputs put, and how he hears of it."""

from __future__ import annotations

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from router.objects.core import Service, ServiceSpec
from router.objects.discovery import EndpointSlice
from router.objects.gateway import TcpRoute
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.route import Route, RouteSpec
from router.objects.store import Changes, Objects, Store

_WEB = ObjectKey("team", "web")


def _route(name: str = "web", host: str = "") -> Route:
    return Route(ObjectMeta(name=name, namespace="team"), RouteSpec(host=host))


def _service(name: str = "web", affinity: str = "None") -> Service:
    return Service(ObjectMeta(name=name, namespace="team"), ServiceSpec(session_affinity=affinity))


def _slice(name: str, service: str, address_type: str = "IPv4") -> EndpointSlice:
    labels = {"kubernetes.io/service-name": service}
    return EndpointSlice(ObjectMeta(name=name, namespace="team", labels=labels), address_type=address_type)


def test_nothing_is_seen_before_take() -> None:
    """Objects do not change under their reader: what was put waits for take."""
    store = Store()
    store.put(_route())
    assert store.objects == Objects()
    changes, arrived_s = store.take()
    assert (changes, store.objects.routes) == (Changes(frozenset({(Route, _WEB)})), {_WEB: _route()})
    assert arrived_s is not None


def test_equal_object_is_no_change_and_the_former_stays() -> None:
    """An equal object does not count as a change, and does not take the place of the one that is there."""
    store = Store()
    first = _route()
    store.put(first, _service(), _slice("web-1", "web"))
    store.take()
    former_slice = store.objects.slices[_WEB]["web-1"]
    store.put(_route(), _service(), _slice("web-1", "web"))
    assert store.take() == (Changes(), None)
    assert store.objects.routes[_WEB] is first
    assert store.objects.slices[_WEB]["web-1"] is former_slice


def test_delete_and_put_between_two_takes() -> None:
    """Of several things that happen to an object between two takes, the last counts."""
    store = Store()
    store.put(_route())
    store.take()
    store.delete(Route, _WEB)
    store.put(_route(host="a.example.com"))
    store.delete(Service, _WEB)
    assert store.take()[0] == Changes(frozenset({(Route, _WEB)}))
    store.put(_route(host="b.example.com"))
    store.delete(Route, _WEB)
    assert store.take()[0] == Changes(frozenset({(Route, _WEB)}))
    assert store.objects.routes == {}


def test_slice_that_moves_changes_both_services() -> None:
    """A slice that goes to another Service counts as a change of both, and is with the new one only."""
    store = Store()
    store.put(_slice("s", "old"))
    store.take()
    store.put(_slice("s", "new"))
    old, new = ObjectKey("team", "old"), ObjectKey("team", "new")
    assert store.take()[0] == Changes(services=frozenset({old, new}))
    assert list(store.objects.slices) == [new]
    store.delete(EndpointSlice, ObjectKey("team", "s"))
    assert store.take()[0] == Changes(services=frozenset({new}))
    assert store.objects.slices == {}


def test_everything_names_services_known_by_slices_only() -> None:
    """A full rebuild looks at every Route and every Service, those without a Service object too."""
    store = Store()
    store.put(_route(), _service("a"), _slice("s", "b"))
    store.take()
    services = frozenset({ObjectKey("team", "a"), ObjectKey("team", "b")})
    assert store.objects.everything() == Changes(frozenset({(Route, _WEB)}), services)


def test_synced_when_every_source_is() -> None:
    """The store is synced once each of its sources said so, and at once without any."""
    store = Store(frozenset({"files", "kube"}))
    store.mark_synced("files")
    assert not store.is_synced
    store.mark_synced("kube")
    assert store.is_synced
    assert Store().is_synced


@pytest.mark.parametrize("happening", ["put", "wake", "synced"])
def test_wait_ends_early(happening: str) -> None:
    """A wait ends long before its time when something arrives, an input is synced, or wake is called."""
    store = Store(frozenset({"files"}))
    ended = threading.Event()

    def wait() -> None:
        store.wait(60)
        ended.set()

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    if happening == "put":
        store.put(_route())
    elif happening == "wake":
        store.wake()
    else:
        store.mark_synced("files")
    assert ended.wait(10)
    waiter.join(10)


_NAMES = ("a", "b", "c")
_objects = st.one_of(
    st.builds(_route, st.sampled_from(_NAMES), st.sampled_from(("", "h"))),
    st.builds(_service, st.sampled_from(_NAMES), st.sampled_from(("None", "ClientIP"))),
    st.builds(_slice, st.sampled_from(_NAMES), st.sampled_from(_NAMES), st.sampled_from(("IPv4", "IPv6"))),
)
_slots = st.tuples(
    st.sampled_from((Route, Service, EndpointSlice)), st.builds(ObjectKey, st.just("team"), st.sampled_from(_NAMES))
)


class StoreAgainstDict(RuleBasedStateMachine):
    """Any sequence of writes with takes between them leaves what a plain dict would hold, and names what is different."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.wanted: dict[Slot, KubernetesObject] = {}
        self.taken: dict[Slot, KubernetesObject] = {}

    @rule(objects=st.lists(_objects, max_size=4))
    def put(self, objects: list[KubernetesObject]) -> None:
        """Put some objects."""
        self.store.put(*objects)
        self.wanted.update({(type(obj), obj.key): obj for obj in objects})

    @rule(slot=_slots)
    def delete(self, slot: Slot) -> None:
        """Delete an object that may be there."""
        self.store.delete(*slot)
        self.wanted.pop(slot, None)

    @rule(objects=st.lists(_objects, max_size=3), absent=st.frozensets(_slots, max_size=3))
    def apply(self, objects: list[KubernetesObject], absent: frozenset[Slot]) -> None:
        """Put and delete in one step; what is in both is put."""
        present: dict[Slot, KubernetesObject] = {(type(obj), obj.key): obj for obj in objects}
        self.store.apply(present, absent)
        for slot in absent:
            self.wanted.pop(slot, None)
        self.wanted.update(present)

    @rule()
    def take(self) -> None:
        """Take, and compare what is there and what is said to be different."""
        former_ids = {slot: id(obj) for slot, obj in _flat(self.store.objects).items()}
        changes, arrived_s = self.store.take()
        before, after = self.taken, dict(self.wanted)
        different = {slot for slot in before.keys() | after.keys() if before.get(slot) != after.get(slot)}
        services = {key for kind, key in different if kind is Service}
        for slot in different:
            for state in (before, after):
                if isinstance(obj := state.get(slot), EndpointSlice):
                    services.add(obj.service)
        assert changes == Changes(frozenset(slot for slot in different if slot[0] is Route), frozenset(services))
        assert (arrived_s is not None) is bool(changes)
        now = _flat(self.store.objects)
        assert now == after
        assert all(id(now[slot]) == former_ids[slot] for slot in now.keys() & before.keys() - different)
        self.taken = after

    @invariant()
    def unchanged_between_takes(self) -> None:
        """Nothing moves but by take, and no Service is left with an empty set of slices."""
        assert _flat(self.store.objects) == self.taken
        assert all(self.store.objects.slices.values())


def _flat(objects: Objects) -> dict[Slot, KubernetesObject]:
    flat: dict[Slot, KubernetesObject] = {}
    flat.update({(Route, key): route for key, route in objects.routes.items()})
    flat.update({(Service, key): service for key, service in objects.services.items()})
    for owner, slices in objects.slices.items():
        for name, one in slices.items():
            assert (one.service, one.key.name) == (owner, name)
            flat[EndpointSlice, one.key] = one
    return flat


TestStoreAgainstDict = StoreAgainstDict.TestCase


def test_routes_of_late_namespaces_wait_and_all_else_does_not() -> None:
    """They come as they are when it is their turn, in whatever state; what was deleted is gone at once, and stays gone."""
    store = Store()

    def route(name: str, host: str = "", namespace: str = "team") -> Route:
        return Route(metadata=ObjectMeta(name=name, namespace=namespace), spec=RouteSpec(host=host))

    store.put(route("kept", "before"), route("deleted"), route("x", namespace="other"))
    store.take()
    store.put(route("kept", "first"), route("deleted", "late"), route("new"), route("x", "now", "other"))
    store.put(Service(metadata=ObjectMeta(name="s", namespace="team")))
    changes, _ = store.take({"team"})
    assert changes == Changes(frozenset({(Route, ObjectKey("other", "x"))}), frozenset({ObjectKey("team", "s")}))
    assert store.objects.routes[ObjectKey("team", "kept")].spec.host == "before"
    store.put(route("kept", "second"))
    store.delete(Route, ObjectKey("team", "deleted"))
    changes, _ = store.take({"team"})
    assert changes.of(Route) == {ObjectKey("team", "deleted")}
    changes, _ = store.take()
    assert changes.of(Route) == {ObjectKey("team", "kept"), ObjectKey("team", "new")}
    assert store.objects.routes[ObjectKey("team", "kept")].spec.host == "second"
    assert ObjectKey("team", "deleted") not in store.objects.routes
    assert store.take()[0] == Changes()


def test_services_that_may_ask_are_told_apart_and_wait_where_routes_do() -> None:
    """A Service with annotations is both, an asker and a Service; one that loses them is told once more. Others never wait."""
    key = ObjectKey("team", "db")
    plain = Service(ObjectMeta(name="db", namespace="team"))
    asks = Service(ObjectMeta(name="db", namespace="team", annotations={"any": "thing"}))
    store = Store()
    store.put(asks)
    assert store.take({"team"})[0] == Changes()
    assert store.take()[0] == Changes(frozenset({(Service, key)}), frozenset({key}))
    store.put(plain)
    assert store.take({"team"})[0] == Changes(frozenset({(Service, key)}), frozenset({key}))
    store.delete(Service, key)
    assert store.take()[0] == Changes(services=frozenset({key}))


def test_what_may_be_a_part_of_more_is_told_apart() -> None:
    """A listener and its route come by two watches; of a Route nothing more comes, and of many objects it is no matter."""
    store = Store()
    assert not store.has_news
    assert not store.has_part
    store.put(Route(ObjectMeta(name="a", namespace="team"), RouteSpec()))
    assert store.has_news
    assert not store.has_part
    store.delete(TcpRoute, ObjectKey("team", "a"))
    assert store.has_part
    store.delete(TcpRoute, *(ObjectKey("team", f"{number}") for number in range(50)))
    assert not store.has_part
    store.take()
    assert not store.has_news
