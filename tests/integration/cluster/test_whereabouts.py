"""Which addresses a machine has, as its kernel tells; in a network of the test's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from structlog.testing import capture_logs

from router.cluster import whereabouts as module
from router.cluster.interfaces import interface_addresses
from router.cluster.whereabouts import Whereabouts
from router.reconcile.presence import Here
from router.supervisor import Supervisor
from tests.support.network import bind_nonlocal, ip, own_network
from tests.support.waiting import wait_for

FOUR, SIX, OTHER = "10.9.0.5", "fd00:9::5", "10.9.0.6"


@pytest.fixture
def network() -> Iterator[None]:
    """A network of the test's own."""
    with own_network():
        yield


@pytest.fixture
def follow(network: None) -> Iterator[Callable[..., Whereabouts]]:  # noqa: ARG001 - in it
    """Give what makes followers of three addresses, which end after the test."""
    made: list[Whereabouts] = []
    supervisor = Supervisor()

    def begin(
        changed: Callable[[], None] = lambda: None, present: Callable[[], frozenset[str]] = interface_addresses
    ) -> Whereabouts:
        one = Whereabouts([FOUR, SIX, OTHER], changed, present=present, supervisor=supervisor)
        made.append(one)
        one.start()
        return one

    yield begin
    for one in made:
        one.stop()
    assert supervisor.deaths == {}


def can_bind(where: Whereabouts, address: str) -> bool:
    """Whether an address can be listened on."""
    return address in where.now().bindable


def test_addresses_come_and_leave(follow: Callable[..., Whereabouts]) -> None:
    """Of each family, each told within a moment; addresses of others are nothing."""
    told: list[float] = []
    where = follow(lambda: told.append(time.monotonic()))
    assert where.now() == Here()
    for address, width in ((FOUR, 32), (SIX, 128)):
        ip("addr", "add", f"{address}/{width}", "dev", "lo")
        came_s = time.monotonic()
        wait_for(partial(can_bind, where, address), f"{address} to come")
        assert time.monotonic() - came_s < 0.5
    assert where.now() == Here(frozenset({FOUR, SIX}), frozenset({FOUR, SIX}))
    wait_for(lambda: len(told) == 2, "both to be told")
    count = len(told)
    ip("addr", "add", "10.9.7.7/32", "dev", "lo")
    ip("addr", "del", f"{FOUR}/32", "dev", "lo")
    wait_for(lambda: where.now() == Here(frozenset({SIX}), frozenset({SIX})), "it to leave")
    # Told after it is known, and once.
    wait_for(lambda: len(told) > count, "it to be told")
    assert len(told) == count + 1


def test_what_is_there_at_first(network: None) -> None:  # noqa: ARG001 - in it
    """It is known before anything is decided."""
    ip("addr", "add", f"{FOUR}/32", "dev", "lo")
    supervisor = Supervisor()
    assert Whereabouts([FOUR, OTHER], lambda: None, supervisor=supervisor).now().present == {FOUR}


def test_what_can_be_bound_without_being_here(follow: Callable[..., Whereabouts]) -> None:
    """With ip_nonlocal_bind all can be listened on, and none of them is here."""
    bind_nonlocal(on=True)
    where = follow()
    assert where.now() == Here(frozenset({FOUR, OTHER}), frozenset())


def test_a_local_route_brings_addresses(follow: Callable[..., Whereabouts], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no interface's, and here all the same; the kernel does not tell of them, so that they are looked for."""
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.1)
    where = follow()
    ip("route", "add", "local", f"{FOUR}/32", "dev", "lo")
    wait_for(lambda: where.now() == Here(frozenset({FOUR}), frozenset({FOUR})), "the route to be seen")


def test_a_kernel_that_does_not_tell(follow: Callable[..., Whereabouts], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked now and then, and a line in the log says so."""

    def fails() -> frozenset[str]:
        raise OSError("no netlink here")

    monkeypatch.setattr(module, "watch_addresses", fails)
    with capture_logs() as logged:
        where = follow(present=fails)
        ip("addr", "add", f"{FOUR}/32", "dev", "lo")
        wait_for(lambda: where.now() == Here(frozenset({FOUR}), frozenset({FOUR})), "it to be seen")
    events = [line["event"] for line in logged]
    assert "addresses not followed as they should" in events
    assert events.count("addresses not followed as they should") <= 3
