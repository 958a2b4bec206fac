"""What becomes of Routes on named addresses while these come, go, and cannot be had."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.admission.verdicts import Reason
from router.haproxy.talk.alerts import BindFailure
from router.plan import ReloadCause
from router.reconcile.presence import Here
from router.reconcile.timing import Timing
from tests.support.stage import AT_ONCE, Stage, route

ADDRESSES = {"pg": ("10.0.0.1",), "my": ("10.0.0.2",)}


def having(*ips: str, bindable: frozenset[str] | None = None) -> Here:
    """Have these addresses."""
    return Here(bindable if bindable is not None else frozenset(ips), frozenset(ips))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A router with two addresses, and two Routes on them."""
    stage = Stage(tmp_path, AT_ONCE, addresses=ADDRESSES, address_told_after_s=1000)
    for name in ADDRESSES:
        stage.store.put(route(name, 5432, name))
    stage.store.mark_synced("test")
    yield stage
    stage.close()


def binds(stage: Stage) -> list[str]:
    """Give what the last configuration binds."""
    lines = stage.haproxy.loads[-1].splitlines()
    return [line.split()[1] for line in lines if line.startswith("  bind ")]


def test_an_address_that_comes_is_a_reload_that_does_not_wait(tmp_path: Path) -> None:
    """One that leaves waits for its time, and is forgotten if it is back by then."""
    timing = Timing(reload_interval_s=1000, gather_s=(1000, 1000))
    stage = Stage(tmp_path, timing, addresses=ADDRESSES, address_told_after_s=1000)
    for name in ADDRESSES:
        stage.store.put(route(name, 5432, name))
    stage.store.mark_synced("test")
    stage.here = having("10.0.0.1")
    stage.turn()
    assert binds(stage) == ["10.0.0.1:5432"]
    assert stage.verdicts() == {"pg": None, "my": None}
    stage.here = having("10.0.0.1", "10.0.0.2")
    stage.turn()
    assert binds(stage) == ["10.0.0.2:5432", "10.0.0.1:5432"]
    assert stage.witness.results[-1] == ("success", frozenset({ReloadCause.ADDRESS_CHANGED}))
    stage.here = having("10.0.0.1")
    stage.turn()
    assert len(stage.haproxy.loads) == 2
    stage.here = having("10.0.0.1", "10.0.0.2")
    stage.turn()
    assert len(stage.haproxy.loads) == 2
    stage.close()


def test_what_can_be_bound_anyway_needs_no_reload(stage: Stage) -> None:
    """With ip_nonlocal_bind nothing is done when an address comes."""
    everything = frozenset({"10.0.0.1", "10.0.0.2"})
    stage.here = having(bindable=everything)
    stage.turn()
    assert binds(stage) == ["10.0.0.2:5432", "10.0.0.1:5432"]
    stage.here = having("10.0.0.1", bindable=everything)
    stage.turn()
    assert len(stage.haproxy.loads) == 1


def test_an_address_that_leaves_while_haproxy_binds_it_is_nothing_wrong(stage: Stage) -> None:
    """HAProxy refuses the load, and the next one is without it, at once; nobody is told that a port is taken."""
    stage.here = having("10.0.0.1", "10.0.0.2")
    stage.turn()
    stage.store.put(route("new", 5433, "my"))
    load = stage.haproxy.load
    failure = BindFailure("fe_tcp:5433:my", "10.0.0.2:5433", "cannot bind socket (Cannot assign requested address)")

    def leaving() -> object:
        stage.haproxy.bind_failures = (failure,) if "10.0.0.2" in stage.here.present else ()
        stage.here = having("10.0.0.1")
        return load()

    stage.haproxy.load = leaving  # type: ignore[method-assign,assignment]  # an address that leaves at a bad moment
    stage.turn()
    assert binds(stage) == ["10.0.0.1:5432"]
    assert stage.verdicts() == {"pg": None, "my": None, "new": None}


def test_a_port_that_is_taken_is_one_of_one_address(stage: Stage) -> None:
    """The same port of the other address is served."""
    stage.here = having("10.0.0.1", "10.0.0.2")
    stage.haproxy.bind_failures = (BindFailure("fe_tcp:5432:my", "10.0.0.2:5432", "Address already in use"),)
    stage.turn()
    stage.haproxy.bind_failures = ()
    stage.turn()
    assert stage.verdicts()["pg"] is None
    assert {*binds(stage)} >= {"10.0.0.1:5432"}


def test_an_address_that_nobody_has_is_told(tmp_path: Path) -> None:
    """Who asked for its port is told after a while, and is served as soon as it is here."""
    stage = Stage(tmp_path, AT_ONCE, addresses=ADDRESSES, address_told_after_s=0.05)
    for name in ADDRESSES:
        stage.store.put(route(name, 5432, name))
    stage.store.mark_synced("test")
    stage.here = having("10.0.0.1")
    stage.turn()
    assert stage.verdicts() == {"pg": None, "my": None}
    ends_s = time.monotonic() + 5
    while stage.verdicts()["my"] is None and time.monotonic() < ends_s:
        stage.turn()
    assert stage.verdicts() == {"pg": None, "my": Reason.ADDRESS_UNAVAILABLE}
    loads = len(stage.haproxy.loads)
    stage.turn()
    assert len(stage.haproxy.loads) == loads
    stage.here = having("10.0.0.1", "10.0.0.2")
    stage.turn()
    assert stage.verdicts() == {"pg": None, "my": None}
    assert "10.0.0.2:5432" in binds(stage)
    stage.close()
