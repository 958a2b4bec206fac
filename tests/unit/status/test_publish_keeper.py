"""Which ports are served, as the Service in front of the router is told."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.admission import Verdict
from router.admission.places import SNI, Place
from router.admission.verdicts import Reason
from router.model import Asker
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.status.publish_keeper import PublishKeeper


class Told:
    """Stands for the publisher."""

    def __init__(self) -> None:
        self.ports: list[frozenset[int]] = []

    def serve(self, ports: frozenset[int]) -> None:
        """Take them."""
        self.ports.append(ports)


def verdict(name: str, *places: Place, **more: Any) -> Verdict:
    """Make what became of a Route."""
    return Verdict(asker=Asker.route("team", name), places=places, **more)


class Bench:
    """A keeper, and what it tells."""

    def __init__(self) -> None:
        self.told = Told()
        self.keeper = PublishKeeper(self.told, 8443)  # type: ignore[arg-type]

    def turn(self, *verdicts: Verdict, configured: bool = True, problem: str = "") -> None:
        """Tell of a turn."""
        by_asker: Mapping[Asker, Verdict] = MappingProxyType({each.asker: each for each in verdicts})
        snapshot = Snapshot(configured=configured, problem=problem, verdicts=by_asker)
        self.keeper.update(snapshot, Objects(), frozenset())


def test_nothing_is_told_before_it_is_served() -> None:
    """Nor while changes cannot be applied: what was served before is."""
    bench = Bench()
    bench.turn(configured=False)
    bench.turn(verdict("a", Place(7000)), problem="HAProxy does not answer")
    assert bench.told.ports == []
    bench.turn()
    bench.turn(verdict("a", Place(7000)))
    bench.turn(problem="HAProxy does not answer")
    assert bench.told.ports == [frozenset(), {7000}]


def test_a_port_is_there_while_anybody_has_it() -> None:
    """Hosts share a port, those without one the SNI port; what is set aside here alone is had elsewhere; a named address is none of the pod's."""
    bench = Bench()
    shared = verdict("a", Place(7000, "a.example.com")), verdict("b", Place(7000, "b.example.com"))
    bench.turn(*shared)
    bench.turn(shared[0], verdict("sni", Place(SNI, "c.example.com")))
    bench.turn(shared[0], verdict("x", Place(7001), reason=Reason.PORT_UNAVAILABLE, set_aside=True))
    bench.turn(verdict("x", Place(7001), reason=Reason.CONFIG_REJECTED, set_aside=True))
    bench.turn(verdict("x", Place(5432, address="db")))
    assert bench.told.ports == [{7000}, {7000, 8443}, {7000, 7001}, frozenset()]


PLACES = st.builds(
    Place, st.sampled_from([SNI, 7000, 7001]), st.sampled_from(["", "a"]), st.sampled_from(["", "", "db"])
)
VERDICTS = st.builds(
    verdict,
    st.sampled_from("abc"),
    PLACES,
    reason=st.sampled_from([None, None, Reason.PORT_UNAVAILABLE, Reason.PORT_ALREADY_CLAIMED]),
)


@given(st.lists(st.lists(VERDICTS, max_size=3, unique_by=lambda each: each.asker), max_size=6))
def test_what_is_told_is_what_is_there(turns: list[list[Verdict]]) -> None:
    """After whatever changes."""
    bench = Bench()
    for verdicts in turns:
        bench.turn(*sorted(verdicts, key=lambda each: each.asker))
        wanted = {place.port or 8443 for each in verdicts for place in each.held if not place.address}
        assert bench.told.ports[-1] == wanted
