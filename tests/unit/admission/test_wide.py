"""A Service with many endpoints is read by the slices that changed, and comes to what all of them come to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import server_ids
from router.admission import Admission, Outcome, destination, endpoints
from router.model import Server
from router.objects.discovery import Endpoint, EndpointPort, EndpointSlice
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.server_ids import contested_ids, first_id
from tests.unit.admission.builders import NAMESPACE, SETTINGS, endpoint, endpoint_slice, route, service

_MOST = 6
_IDS = 41
"""So few that servers collide, and prime."""
_PG, _OTHER = EndpointPort(name="pg", port=5432, protocol="TCP"), EndpointPort(name="pg", port=5433, protocol="TCP")


def _slice(name: str, *members: Endpoint) -> EndpointSlice:
    return endpoint_slice(*members, name=name)


STATES = st.sampled_from(["ready", "ready", "ready", "draining", "gone"])
PODS = st.sampled_from(["", "", "a", "b"])


def _usual(number: int) -> st.SearchStrategy[EndpointSlice]:
    """Give slices of addresses that no other slice has."""
    addresses = st.sampled_from([f"10.{number}.0.{each}" for each in range(1, 7)])
    members = st.lists(st.builds(endpoint, addresses, STATES, pod=PODS), max_size=5, unique_by=lambda e: e.addresses)
    return members.map(lambda each: _slice(f"slice-{number}", *each))


USUAL = st.integers(1, 3).flatmap(_usual)
ODD = st.builds(
    lambda members, **more: endpoint_slice(*members, **more),
    st.lists(
        st.builds(endpoint, st.sampled_from(["10.1.0.1", "10.2.0.1", "127.0.0.1", "fd00::1", "x"]), STATES, pod=PODS),
        max_size=3,
    ),
    name=st.sampled_from(["slice-1", "slice-3"]),
    ports=st.sampled_from([(_PG,), (_PG,), (_OTHER,), None]),
    address_type=st.sampled_from(["IPv4", "IPv4", "IPv6", "FQDN"]),
)
SERVICES = st.builds(service, affinity=st.sampled_from(["None", "ClientIP"]))
DELETED = st.sampled_from(["slice-1", "slice-2", "slice-3"])


def _few(patch: pytest.MonkeyPatch) -> None:
    """Have few endpoints be many."""
    patch.setattr(endpoints, "LEAST_WIDE", 1)
    patch.setattr(destination, "MAX_ENDPOINTS", _MOST)
    patch.setattr(endpoints, "MAX_ENDPOINTS", _MOST)
    patch.setattr(server_ids, "MAX_ID", _IDS)
    server_ids._place.cache_clear()  # noqa: SLF001 - what it remembers is of more ids


def _servers(outcome: Outcome) -> tuple[Server, ...]:
    return outcome.model.routes[0].backend.servers


@given(
    st.sampled_from([5432, "pg", None]),
    st.sampled_from(["leastconn", "source"]),
    st.lists(st.lists(USUAL | USUAL | USUAL | USUAL | ODD | SERVICES | DELETED, min_size=1, max_size=2), max_size=12),
)
def test_whatever_changes_it_is_what_all_slices_come_to(
    target_port: int | str | None, balance: str, batches: Sequence[Sequence[KubernetesObject | str]]
) -> None:
    """Endpoints that come, go, drain, are in two slices, of two families, unusable, or too many; ids that collide; one slice or several at a time."""
    with pytest.MonkeyPatch.context() as patch:
        _few(patch)
        store, admission = Store(), Admission(SETTINGS)
        store.put(route("db", 6620, target_port=target_port, balance=balance))
        store.put(service(), _slice("slice-1", endpoint("10.1.0.1")), _slice("slice-2", endpoint("10.2.0.1")))
        for batch in ([], *batches):
            for change in batch:
                if isinstance(change, str):
                    store.delete(EndpointSlice, ObjectKey(NAMESPACE, change))
                else:
                    store.put(change)
            outcome = admission.update(store.objects, store.take()[0])
            full = Admission(SETTINGS).update(store.objects, store.objects.everything())
            assert outcome.model == full.model
            assert outcome.verdicts == full.verdicts
    server_ids._place.cache_clear()  # noqa: SLF001 - as above


def test_only_what_is_other_is_made_anew() -> None:
    """Of a pod that moves all other servers stay the objects that they were, and how the servers came from the former ones is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoints, "LEAST_WIDE", 1)
        store, admission = Store(), Admission(SETTINGS)
        members = [endpoint(f"10.1.0.{number}") for number in range(1, 9)]
        for each in (route("db", 6620), service(), _slice("one", *members[:4]), _slice("two", *members[4:])):
            store.put(each)
        outcomes = [admission.update(store.objects, store.take()[0])]
        for address in ("10.2.0.1", "10.0.0.1"):
            store.put(_slice("two", endpoint(address), *members[5:]))
            outcomes.append(admission.update(store.objects, store.take()[0]))
        for before, after in pairwise(map(_servers, outcomes)):
            assert len(set(map(id, before)) & set(map(id, after))) == 7
        last = outcomes[-1].model.routes[0].backend
        assert last.advance is not None
        assert last.advance.before is _servers(outcomes[-2])
        assert last.advance.after is last.servers
        assert ([each.address for each in last.advance.removed], [each.address for each in last.advance.added]) == (
            ["10.2.0.1"],
            ["10.0.0.1"],
        )


@given(st.sets(st.integers(1, 60), max_size=12), st.integers(61, 80))
def test_without_what_is_contested_one_more_or_less_changes_no_other_id(numbers: set[int], new: int) -> None:
    """That is what it is to be contested: on 41 ids servers collide all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_ids, "MAX_ID", _IDS)
        server_ids._place.cache_clear()  # noqa: SLF001 - what it remembers is of more ids
        keys = [(f"10.0.0.{number}", 80, "db") for number in numbers]
        ids = server_ids.server_ids(keys)
        contested = contested_ids(ids)
        for key in keys:
            if ids[key] not in contested:
                rest = {other: number for other, number in ids.items() if other != key}
                assert server_ids.server_ids(rest) == rest
        more = (f"10.0.0.{new}", 80, "db")
        if first_id(more) not in ids.values():
            assert server_ids.server_ids([*keys, more]) == {**ids, more: first_id(more)}
    server_ids._place.cache_clear()  # noqa: SLF001 - as above
