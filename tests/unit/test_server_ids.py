"""The numeric ids of servers: the same whatever came and went before."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from router.model import Server
from router.objects.route import RouteTarget
from router.server_ids import MAX_ID, ServerKey, server_ids
from tests.unit.admission.builders import backend_of, endpoint, endpoint_slice, route, service


def pods() -> dict[int, list[ServerKey]]:
    """Give servers by the id that each has alone, until two collide."""
    by_id: dict[int, list[ServerKey]] = {}
    for number in count():
        key = (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 5432, "db")
        (alone,) = server_ids([key]).values()
        by_id.setdefault(alone, []).append(key)
        if len(by_id[alone]) == 2:
            return by_id
    raise AssertionError("there is an end of numbers")


ALONE = pods()
((COLLIDING_ID, (FIRST, SECOND)),) = ((number, sorted(keys)) for number, keys in ALONE.items() if len(keys) == 2)


def test_an_id_is_what_it_has_always_been() -> None:
    """Replicas of several versions run beside each other, and HAProxy's ring must be the same in all."""
    assert server_ids([("10.1.0.1", 5432, "db"), ("fd00::1", 5432, "db")]) == {
        ("10.1.0.1", 5432, "db"): 718_614,
        ("fd00::1", 5432, "db"): 1_038_599,
    }


_keys = st.lists(
    st.tuples(
        st.sampled_from(("10.0.0.1", "10.0.0.2", "fd00::1", FIRST[0], SECOND[0])), st.integers(1, 65535), st.text()
    ),
    max_size=50,
)


@given(_keys, st.randoms(use_true_random=False))
def test_ids_are_distinct_and_do_not_depend_on_the_order(keys: list[ServerKey], random: object) -> None:
    """They are what HAProxy takes, each once, for the same servers in any order."""
    ids = server_ids(keys)
    assert ids.keys() == set(keys)
    assert len(set(ids.values())) == len(ids)
    assert all(1 <= number <= MAX_ID for number in ids.values())
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert server_ids(keys) == ids


def test_of_those_that_collide_the_first_has_its_place() -> None:
    """The next one takes another, and gets its own back when the first is gone; others are never moved by that."""
    others = [keys[0] for keys in list(ALONE.values())[:500] if keys[0] not in (FIRST, SECOND)]
    both = server_ids([SECOND, FIRST, *others])
    assert both[FIRST] == COLLIDING_ID
    assert both[SECOND] != COLLIDING_ID
    assert server_ids([SECOND, *others])[SECOND] == COLLIDING_ID
    assert {key: both[key] for key in others} == server_ids(others)


def servers(*pods: tuple[str, str], to: str = "db") -> dict[str, Server]:
    """Give the servers of a Route by address, for pods that are told by address and name."""
    ready = (endpoint(address, pod=name) for address, name in pods)
    found = backend_of(route(to=to), service(to), endpoint_slice(*ready, service=to)).servers
    return {server.address: server for server in found}


def test_an_id_goes_by_address_port_and_service() -> None:
    """Not by the pod's name, nor by who else is there; another Service gives another id."""
    here = servers(("10.1.0.1", "db-0"), ("10.1.0.2", "db-1"))
    there = servers(("10.1.0.2", "other"), ("10.1.0.3", "db-0"))
    assert here["10.1.0.2"].id == there["10.1.0.2"].id
    assert len({server.id for server in (*here.values(), *there.values())}) == 3
    assert servers(("10.1.0.1", "db-0"), to="replica")["10.1.0.1"].id != here["10.1.0.1"].id


def test_a_draining_pod_keeps_its_place() -> None:
    """While it drains it counts as one of the set: the one that collides with it stays where it is."""
    collided = backend_of(route(), service(), endpoint_slice(FIRST[0], SECOND[0])).servers
    draining = backend_of(route(), service(), endpoint_slice(endpoint(FIRST[0], "draining"), SECOND[0])).servers
    assert [server.id for server in draining] == [server.id for server in collided]
    assert [server.weight for server in draining] == [0, 1]


def test_ids_are_those_of_the_whole_backend() -> None:
    """Servers of several Services of a Route are told apart, too."""
    objects = [
        each
        for name in ("db", "green")
        for each in (service(name), endpoint_slice(f"10.1.0.{len(name)}", service=name))
    ]
    found = backend_of(route(alternates=(RouteTarget(name="green"),)), *objects).servers
    assert len({server.id for server in found}) == 2
