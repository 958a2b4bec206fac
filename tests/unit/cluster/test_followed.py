"""Which objects are kept, and that no older state overwrites a newer one, whatever comes first."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from router.cluster.decoding import decode_head
from router.cluster.followed import Followed
from router.cluster.kinds import ENDPOINTS, SLICES
from router.cluster.recent import Recent
from router.errors import ApiBusy, ApiError, ApiGone
from router.objects.meta import ObjectKey
from router.objects.store import Store
from tests.support.unused_api import UnusedApi

DB = ObjectKey("team", "db")
WEB = ObjectKey("team", "web")


def slice_of(service: ObjectKey, name: str, version: int, address: str = "10.0.0.1") -> dict[str, Any]:
    """Make an EndpointSlice."""
    return {
        "metadata": {
            "namespace": service.namespace,
            "name": name,
            "resourceVersion": str(version),
            "labels": {"kubernetes.io/service-name": service.name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]}],
        "ports": [{"port": 1}],
    }


def raw(obj: object) -> msgspec.Raw:
    """Give an object as it is on the wire."""
    return msgspec.Raw(json.dumps(obj).encode())


class Collection(UnusedApi):
    """An API server with one collection; ``meanwhile`` runs after it made up its answer and before that arrives."""

    def __init__(self) -> None:
        self.version = 1
        self.objects: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.problem: Exception | None = None
        self.next_page = ""
        """The token for the rest of a list with a limit; it expires at once."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """List, by the label of a Service if the query has one."""
        self.asked.append((path, dict(query or {})))
        name = dict(query or {}).get("labelSelector", "").rpartition("=")[2]
        items = [
            obj for obj in self.objects if not name or obj["metadata"]["labels"]["kubernetes.io/service-name"] == name
        ]
        metadata = {"resourceVersion": str(self.version)}
        if "continue" in dict(query or {}):
            raise ApiGone("too old", 410)
        if "limit" in dict(query or {}):
            metadata["continue"] = self.next_page
        answer = json.dumps({"metadata": metadata, "items": items}).encode()
        self.meanwhile()
        if self.problem is not None:
            raise self.problem
        return answer


class World:
    """A followed collection, its API server and the store that it feeds."""

    def __init__(self, recent: Recent | None = None) -> None:
        self.api = Collection()
        self.store = Store()
        self.followed = Followed(SLICES, self.api, self.store, recent)

    def event(self, obj: dict[str, Any], *, is_deleted: bool = False) -> None:
        """Let the watch bring an event."""
        data = raw(obj)
        self.followed.apply(decode_head(data), None if is_deleted else data)

    def relist(self, *objects: dict[str, Any], version: int) -> None:
        """Let the watch list."""
        self.followed.begin_list()
        self.followed.add_page(tuple(map(raw, objects)))
        self.followed.end_list(str(version))

    def kept(self) -> dict[str, str]:
        """Give the first address of each slice in the store, by name."""
        self.store.take()
        return {
            name: (obj.endpoints or ())[0].addresses[0]
            for slices in self.store.objects.slices.values()
            for name, obj in slices.items()
        }


@pytest.fixture
def world() -> World:
    """Give a world whose first list was empty, at version 1."""
    made = World()
    made.relist(version=1)
    return made


def test_nothing_is_fetched_before_the_first_list() -> None:
    """What is wanted when the first list begins comes with it, and costs no request of its own."""
    fresh = World()
    fresh.followed.want({DB})
    fresh.relist(slice_of(DB, "db-1", 5), slice_of(WEB, "web-1", 6), version=7)

    assert fresh.kept() == {"db-1": "10.0.0.1"}
    assert fresh.api.asked == []


def test_foreign_objects_are_not_kept(world: World) -> None:
    """Neither lists nor events of Services that nobody refers to leave anything behind."""
    world.relist(*(slice_of(ObjectKey("x", f"s{n}"), f"s{n}-1", 2) for n in range(1000)), version=3)
    world.event(slice_of(WEB, "web-1", 4))

    assert world.followed.held == 0
    assert world.kept() == {}


def test_a_service_that_becomes_wanted_is_fetched(world: World) -> None:
    """Its objects are in the store when ``want`` returns, by one list of just these."""
    world.api.objects = [slice_of(DB, "db-1", 5), slice_of(WEB, "web-1", 5)]
    world.api.version = 9

    assert world.followed.want({DB})
    assert world.kept() == {"db-1": "10.0.0.1"}
    path = "/apis/discovery.k8s.io/v1/namespaces/team/endpointslices"
    assert world.api.asked == [(path, {"labelSelector": "kubernetes.io/service-name=db", "limit": "500"})]


def test_many_services_of_a_namespace_are_fetched_together(world: World) -> None:
    """More than a few are listed in one go."""
    keys = {ObjectKey("team", f"s{n}") for n in range(20)}
    world.api.objects = [slice_of(key, f"{key.name}-1", 5) for key in sorted(keys)]

    assert world.followed.want(keys)
    assert len(world.kept()) == 20
    assert len(world.api.asked) == 1


def test_events_that_the_fetch_already_has_are_passed_over(world: World) -> None:
    """The watch may be behind the fetched list: what it brings up to that version must not go back in time."""
    world.api.objects = [slice_of(DB, "db-1", 8, "10.0.0.8")]
    world.api.version = 9
    world.followed.want({DB})

    world.event(slice_of(DB, "db-1", 5, "10.0.0.5"))
    world.event(slice_of(DB, "db-old", 6))
    world.event(slice_of(DB, "db-1", 7), is_deleted=True)
    assert world.kept() == {"db-1": "10.0.0.8"}

    world.event(slice_of(DB, "db-1", 10, "10.0.0.10"))
    assert world.kept() == {"db-1": "10.0.0.10"}


def test_events_during_the_fetch_win_if_they_are_newer(world: World) -> None:
    """Changed, added and deleted while the list was on its way: the store ends with what is newest."""
    world.api.objects = [slice_of(DB, name, 5, "10.0.0.5") for name in ("changed", "deleted", "relabelled", "same")]
    world.api.version = 6

    def meanwhile() -> None:
        world.event(slice_of(DB, "changed", 7, "10.0.0.7"))
        world.event(slice_of(DB, "same", 4, "10.0.0.4"))
        world.event(slice_of(DB, "deleted", 8), is_deleted=True)
        world.event(slice_of(DB, "added", 9, "10.0.0.9"))
        world.event(slice_of(WEB, "relabelled", 10, "10.0.0.10"))

    world.api.meanwhile = meanwhile
    world.followed.want({DB})

    assert world.kept() == {"changed": "10.0.0.7", "same": "10.0.0.5", "added": "10.0.0.9"}


def test_a_relabelled_slice_changes_its_service(world: World) -> None:
    """A slice that is given to another Service leaves the one that it belonged to, followed or not."""
    world.api.objects = [slice_of(DB, "one", 2)]
    world.followed.want({DB})
    world.event(slice_of(WEB, "one", 3))

    assert world.kept() == {}


def test_dropped_services_leave_nothing(world: World) -> None:
    """When nobody refers to a Service any more its objects go, and later events bring nothing back."""
    world.api.objects = [slice_of(DB, "db-1", 2)]
    world.followed.want({DB})
    world.followed.drop({DB})
    world.event(slice_of(DB, "db-1", 3))

    assert world.kept() == {}
    assert world.followed.held == 0


def test_dropped_while_it_is_fetched(world: World) -> None:
    """A fetch that comes too late brings nothing."""
    world.api.objects = [slice_of(DB, "db-1", 2)]
    world.api.meanwhile = lambda: world.followed.drop({DB})
    world.followed.want({DB})

    assert world.kept() == {}


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_fetch_that_the_server_refuses_is_no_reason_to_list_everything(world: World, status: int) -> None:
    """There is nothing of these Services then, but for what the watch brings, before and after the answer."""
    world.api.problem = ApiError("no", status)
    world.api.meanwhile = lambda: world.event(slice_of(DB, "during", 2))

    assert world.followed.want({DB})
    assert world.kept() == {"during": "10.0.0.1"}
    world.event(slice_of(DB, "after", 3))
    assert set(world.kept()) == {"during", "after"}
    world.event(slice_of(DB, "during", 4), is_deleted=True)
    assert set(world.kept()) == {"after"}


def test_pages_of_a_fetch_that_expired_are_fetched_in_one(world: World) -> None:
    """A namespace with more slices than a page has does not lead to a list of everything either."""
    world.api.objects = [slice_of(DB, "db-1", 2)]
    world.api.version, world.api.next_page = 5, "expires"

    assert world.followed.want({DB})
    assert world.kept() == {"db-1": "10.0.0.1"}
    assert [dict(query) for _, query in world.api.asked] == [
        {"labelSelector": "kubernetes.io/service-name=db", "limit": "500"},
        {"labelSelector": "kubernetes.io/service-name=db", "limit": "500", "continue": "expires"},
        {"labelSelector": "kubernetes.io/service-name=db"},
    ]


def test_a_list_deletes_what_is_gone(world: World) -> None:
    """What was deleted while no watch was there disappears with the next list."""
    world.followed.want({DB})
    world.event(slice_of(DB, "stays", 2))
    world.event(slice_of(DB, "goes", 3))
    world.relist(slice_of(DB, "stays", 2), version=9)

    assert world.kept() == {"stays": "10.0.0.1"}


def test_a_list_does_not_undo_a_fetch_made_meanwhile(world: World) -> None:
    """A Service that became wanted while pages of a list were read keeps what was fetched: the list passed it over."""
    world.followed.begin_list()
    world.followed.add_page((raw(slice_of(DB, "db-1", 2)),))
    world.api.objects = [slice_of(DB, "db-1", 5, "10.0.0.5")]
    world.api.version = 6
    world.followed.want({DB})
    world.followed.end_list("3")

    assert world.kept() == {"db-1": "10.0.0.5"}


@pytest.mark.parametrize("fetch_version", [3, 9])
@pytest.mark.parametrize("ends", ["before", "after"])
def test_of_a_fetch_and_a_list_at_the_same_time_the_newer_wins(world: World, fetch_version: int, ends: str) -> None:
    """The watch goes on from the list and brings nothing older, so an older fetch must not stand; a newer one must."""
    world.api.version = fetch_version
    world.api.objects = [slice_of(DB, "db-1", fetch_version, f"10.0.0.{fetch_version}")]

    def meanwhile() -> None:
        world.followed.begin_list()
        world.followed.add_page((raw(slice_of(DB, "db-1", 5, "10.0.0.5")),))
        if ends == "before":
            world.followed.end_list("6")

    world.api.meanwhile = meanwhile
    world.followed.want({DB})
    if ends == "after":
        world.followed.end_list("6")
    if fetch_version == 9:
        # A list that was over before the fetch was may stand until the watch brings what is newer.
        assert world.kept() == {"db-1": "10.0.0.5" if ends == "before" else "10.0.0.9"}
        world.event(slice_of(DB, "db-1", 9, "10.0.0.9"))

    assert world.kept() == {"db-1": "10.0.0.5" if fetch_version == 3 else "10.0.0.9"}


def test_wanted_between_the_request_of_a_list_and_its_first_page(world: World) -> None:
    """The fetch may be older than the list then, and the list has the newer state to give."""
    world.followed.begin_list()
    world.api.version = 3
    world.api.objects = [slice_of(DB, "db-1", 3, "10.0.0.3")]
    world.followed.want({DB})
    assert world.kept() == {"db-1": "10.0.0.3"}

    world.followed.add_page((raw(slice_of(DB, "db-1", 5, "10.0.0.5")),))
    world.followed.end_list("6")
    assert world.kept() == {"db-1": "10.0.0.5"}


def test_a_failed_fetch_is_told_and_a_list_makes_up_for_it(world: World) -> None:
    """Where the fetch fails the collection must be listed again, and that brings what was missed."""
    world.api.problem = ApiBusy("busy", 500)
    assert not world.followed.want({DB})
    assert not world.followed.want({WEB}, may_fetch=False)

    world.relist(slice_of(DB, "db-1", 5), slice_of(WEB, "web-1", 5), version=6)
    assert world.kept() == {"db-1": "10.0.0.1", "web-1": "10.0.0.1"}


def test_versions_that_went_back_do_not_freeze_the_store(world: World) -> None:
    """After a restore of the cluster's database versions are lower than before; a list counts all the same."""
    world.api.version = 1000
    world.followed.want({DB})
    world.relist(slice_of(DB, "db-1", 5), version=6)
    world.event(slice_of(DB, "db-1", 7, "10.0.0.7"))

    assert world.kept() == {"db-1": "10.0.0.7"}


@pytest.mark.parametrize("bad", [{"endpoints": 7}, {"ports": [{"port": "http"}]}])
def test_an_undecodable_object_costs_only_itself(world: World, bad: dict[str, Any]) -> None:
    """It keeps its last good state, in events and in lists; the others go on."""
    world.followed.want({DB})
    world.event(slice_of(DB, "one", 2, "10.0.0.2"))
    world.event({**slice_of(DB, "one", 3), **bad})
    world.event(slice_of(DB, "two", 4, "10.0.0.4"))
    assert world.kept() == {"one": "10.0.0.2", "two": "10.0.0.4"}

    world.relist({**slice_of(DB, "one", 5), **bad}, slice_of(DB, "two", 6, "10.0.0.6"), version=7)
    assert world.kept() == {"one": "10.0.0.2", "two": "10.0.0.6"}


@pytest.mark.parametrize("bad", [{"endpoints": 7}, {"metadata": 7}])
def test_what_is_read_ahead_is_what_is_taken(bad: dict[str, Any]) -> None:
    """Once it is known what is wanted, and nothing is decoded anew; an object that cannot be read is told only then, and a foreign one not at all."""
    pages = [
        (raw(slice_of(DB, "one", 2)), raw({**slice_of(DB, "two", 3), **bad})),
        (raw(slice_of(WEB, "web-1", 4)), raw({**slice_of(WEB, "web-2", 5), "endpoints": 7})),
        (raw(slice_of(DB, "three", 6)),),
    ]
    with capture_logs() as lines:
        # Loggers remember how they write from their first line on.
        world = World()
        world.followed.begin_list()
        for page in pages[:2]:
            world.followed.read_ahead(page)
        assert not lines
        world.followed.want({DB})
        for page in pages:
            world.followed.add_page(page)
        world.followed.end_list("7")
    assert world.kept() == {"one": "10.0.0.1", "three": "10.0.0.1"}
    assert [line["event"] for line in lines] == ["object not decoded"]


def test_endpoints_become_slices() -> None:
    """A subset that is gone takes its slice with it, and Services with similar names do not meet."""
    store = Store()
    followed = Followed(ENDPOINTS, Collection(), store)
    followed.want({DB, ObjectKey("team", "db-1")})
    followed.begin_list()
    followed.end_list("1")

    def endpoints(name: str, version: int, *subsets: dict[str, Any]) -> None:
        data = raw(
            {"metadata": {"namespace": "team", "name": name, "resourceVersion": str(version)}, "subsets": subsets}
        )
        followed.apply(decode_head(data), data)

    two = {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"name": "tcp", "port": 1}]}
    waiting = {"notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 2}]}
    endpoints("db", 2, two, waiting)
    endpoints("db-1", 3, two)
    store.take()
    families = sorted((obj.address_type, len(obj.endpoints or ())) for obj in store.objects.slices[DB].values())
    assert families == [("IPv4", 1), ("IPv4", 1), ("IPv6", 1)]
    ready = {e.addresses[0]: e.conditions.ready for o in store.objects.slices[DB].values() for e in o.endpoints or ()}
    assert ready == {"10.0.0.1": True, "fd00::1": True, "10.0.0.2": False}

    endpoints("db", 4, waiting)
    store.take()
    assert len(store.objects.slices[DB]) == 1
    assert len(store.objects.slices[ObjectKey("team", "db-1")]) == 2


class Change(msgspec.Struct):
    """One change of the collection, for histories made at random."""

    name: str
    service: ObjectKey | None


_changes = st.lists(
    st.builds(Change, st.sampled_from(["a", "b", "c"]), st.sampled_from([DB, WEB, None])), min_size=1, max_size=14
)


@settings(max_examples=300)
@given(
    history=_changes,
    first=st.integers(0, 14),
    seen=st.integers(0, 14),
    listed=st.integers(0, 14),
    during=st.integers(0, 14),
)
def test_store_equals_collection_whenever_a_service_becomes_wanted(
    history: list[Change], first: int, seen: int, listed: int, during: int
) -> None:
    """However far the watch is behind or ahead of the fetched list, at the end the store has what the collection has."""
    world = World()
    objects: dict[str, dict[str, Any]] = {}
    states: list[tuple[int, list[dict[str, Any]]]] = [(1, [])]
    events: list[tuple[dict[str, Any], bool]] = []
    for number, change in enumerate(history, start=2):
        event = _change(objects, change, number)
        if event is not None:
            events.append(event)
            states.append((number, list(objects.values())))
    # The watch goes on from its first list. A list shows at least what the watch had brought when it was asked for.
    first = min(first, len(events))
    seen = min(max(seen, first), len(events))
    during = min(max(during, seen), len(events))
    world.relist(*states[first][1], version=states[first][0])
    world.api.version, world.api.objects = states[max(min(listed, len(events)), seen)]

    def bring(some: list[tuple[dict[str, Any], bool]]) -> None:
        for obj, is_deleted in some:
            world.event(obj, is_deleted=is_deleted)

    bring(events[first:seen])
    world.api.meanwhile = lambda: bring(events[seen:during])
    world.followed.want({DB})
    bring(events[during if world.api.asked else seen :])

    assert world.kept() == _addresses(objects, {"db"})


_steps = st.lists(
    st.one_of(
        st.builds(Change, st.sampled_from(["a", "b"]), st.sampled_from([DB, WEB, None])),
        st.tuples(st.sampled_from(["want", "drop"]), st.sampled_from([DB, DB, WEB])),
        st.sampled_from(["bring", "bring all", "list"]),
    ),
    min_size=4,
    max_size=16,
)


@settings(max_examples=2000)
@given(steps=_steps, most_bytes=st.sampled_from([1000, 2 << 20]))
def test_store_equals_collection_over_a_life(steps: list[Any], most_bytes: int) -> None:
    """Services come to be wanted, and not any more, before and after the watch brings their slices, and lists come between."""
    world = World(Recent(most_bytes))
    world.relist(version=1)
    objects: dict[str, dict[str, Any]] = {}
    wanted: set[str] = set()
    on_the_way: list[tuple[dict[str, Any], bool]] = []
    for number, step in enumerate([*steps, "bring all"], start=2):
        match step:
            case Change():
                if (event := _change(objects, step, number)) is not None:
                    on_the_way.append(event)
                    world.api.version, world.api.objects = number, list(objects.values())
            case "want", service:
                wanted.add(service.name)
                assert world.followed.want({service})
            case "drop", service:
                wanted.discard(service.name)
                world.followed.drop({service})
            case "list":
                on_the_way.clear()
                world.relist(*objects.values(), version=world.api.version)
            case _:
                some = on_the_way[: None if step == "bring all" else 1]
                del on_the_way[: len(some)]
                for obj, is_deleted in some:
                    world.event(obj, is_deleted=is_deleted)

    assert world.kept() == _addresses(objects, wanted)


def test_what_the_watch_brought_needs_no_request(world: World) -> None:
    """A Route that comes after its Service, as it does as a rule, has its endpoints at once."""
    world.event(slice_of(DB, "db-1", 2))
    world.event(slice_of(DB, "db-2", 3, "10.0.0.3"))
    world.event(slice_of(DB, "db-2", 4, "10.0.0.4"))
    world.event(slice_of(DB, "db-3", 5))
    world.event(slice_of(DB, "db-3", 6), is_deleted=True)
    assert world.followed.knows({DB})
    assert not world.followed.knows({DB, WEB})

    assert world.followed.want({DB})
    assert world.kept() == {"db-1": "10.0.0.1", "db-2": "10.0.0.4"}
    assert world.api.asked == []


@pytest.mark.parametrize("is_brought_first", [True, False])
def test_a_fetch_is_newer_than_what_was_kept(world: World, *, is_brought_first: bool) -> None:
    """A slice that the watch brought for one Service, and that is another's by now: the fetch for that one says so first."""
    world.event(slice_of(WEB, "one", 2, "10.0.0.2"))
    world.api.version, world.api.objects = 3, [slice_of(DB, "one", 3, "10.0.0.3")]
    world.event(slice_of(DB, "old", 1), is_deleted=True)
    world.followed.want({DB})
    if is_brought_first:
        world.event(slice_of(DB, "one", 3, "10.0.0.3"))
    world.followed.want({WEB})
    assert world.kept() == {"one": "10.0.0.3"}
    world.event(slice_of(DB, "one", 3, "10.0.0.3"))
    assert world.kept() == {"one": "10.0.0.3"}


def test_what_a_fetch_has_already_is_not_kept_for_another(world: World) -> None:
    """An event that is older than the fetch says of another Service what is no longer so."""
    world.api.version, world.api.objects = 5, [slice_of(DB, "one", 5, "10.0.0.5")]
    world.followed.want({DB})
    world.event(slice_of(WEB, "one", 3, "10.0.0.3"))
    world.followed.want({WEB})
    assert world.kept() == {"one": "10.0.0.5"}


def test_without_a_live_watch_everything_is_fetched(world: World) -> None:
    """What it brought before it was cut may be out of date; the API server knows better, and later events win over it."""
    world.event(slice_of(DB, "one", 2, "10.0.0.2"))
    world.api.version, world.api.objects = 4, [slice_of(DB, "one", 4, "10.0.0.4")]
    assert not world.followed.knows({DB}, is_live=False)
    assert world.followed.want({DB}, is_live=False)
    assert world.kept() == {"one": "10.0.0.4"}
    world.event(slice_of(DB, "one", 3, "10.0.0.3"))
    world.event(slice_of(DB, "one", 5, "10.0.0.5"))
    assert world.kept() == {"one": "10.0.0.5"}


def test_services_that_the_list_had_are_fetched(world: World) -> None:
    """Of them the watch brings only some objects, however many it brings."""
    world.relist(slice_of(DB, "db-1", 2), version=3)
    world.event(slice_of(DB, "db-2", 4))
    world.api.version, world.api.objects = 4, [slice_of(DB, "db-1", 2), slice_of(DB, "db-2", 4)]

    assert not world.followed.knows({DB})
    assert world.followed.want({DB})
    assert world.kept() == {"db-1": "10.0.0.1", "db-2": "10.0.0.1"}
    assert len(world.api.asked) == 1


def test_what_is_kept_of_new_services_is_bounded() -> None:
    """Those that changed longest ago are forgotten, for good: what comes of them later is not all of them."""
    size = memoryview(raw(slice_of(DB, "db-1", 2))).nbytes + 500
    world = World(Recent(most_bytes=3 * size + size // 2))
    world.relist(version=1)
    for number in range(2, 7):
        world.event(slice_of(ObjectKey("team", f"s{number}"), f"s{number}-1", number))

    assert [world.followed.knows({ObjectKey("team", f"s{number}")}) for number in range(2, 7)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    world.event(slice_of(ObjectKey("team", "s2"), "s2-2", 7))
    assert not world.followed.knows({ObjectKey("team", "s2")})


def test_too_many_services_are_not_told_apart() -> None:
    """Beyond a bound nothing is kept until the next list, and everything is fetched: memory must not grow with what comes and goes."""
    recent = Recent(most_services=2)
    world = World(recent)
    world.relist(*(slice_of(ObjectKey("team", f"s{number}"), f"s{number}", 2) for number in range(3)), version=3)
    world.event(slice_of(DB, "db-1", 4))
    assert not world.followed.knows({DB})

    world.relist(slice_of(ObjectKey("team", "s1"), "s1", 2), version=5)
    world.event(slice_of(WEB, "web-1", 6))
    assert world.followed.knows({WEB})
    world.followed.drop({ObjectKey("team", f"t{number}") for number in range(2)})
    assert not world.followed.knows({WEB})


def _change(objects: dict[str, dict[str, Any]], change: Change, number: int) -> tuple[dict[str, Any], bool] | None:
    """Change a collection; give the event, if there is one, and whether it tells that the object is gone."""
    former = objects.pop(change.name, None)
    if change.service is not None:
        objects[change.name] = slice_of(change.service, change.name, number, f"10.0.0.{number}")
        return objects[change.name], False
    if former is not None:
        return {**former, "metadata": {**former["metadata"], "resourceVersion": str(number)}}, True
    return None


def _addresses(objects: Mapping[str, dict[str, Any]], services: set[str]) -> dict[str, str]:
    """Give the address of each slice of these Services, by name."""
    return {
        name: obj["endpoints"][0]["addresses"][0]
        for name, obj in objects.items()
        if obj["metadata"]["labels"]["kubernetes.io/service-name"] in services
    }
