"""Claims that wait for two clusters to agree: when that is over, and that it is said once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from router.admission import Reason, Verdict
from router.model import Asker
from router.objects.meta import ObjectKey
from router.objects.porter import CLAIM_KIND, GROUP, ClaimMeta, TransportServerClaim
from router.objects.store import Store
from router.reconcile.pair_wait import PairWait
from router.reconcile.snapshot import Snapshot
from tests.support.waiting import wait_for

KEY = ObjectKey("shop", "tsc")
WHO = Asker(GROUP, CLAIM_KIND, *KEY, "", "u")
MADE_S = 1704067200.0
PAIRING = Verdict(asker=WHO, reason=Reason.PAIRING, message="waits", auto=True)
SERVED = Verdict(asker=WHO, port=1, auto=True)


@dataclass
class World:
    """What waits, a store, and a clock that a test moves."""

    store: Store = field(default_factory=Store)
    now_s: float = MADE_S

    def __post_init__(self) -> None:
        """Begin to look; the claim was made at ``MADE_S``."""
        self.waits = PairWait(self.store, 60.0, wall_clock=lambda: self.now_s)
        self.waits.start()
        self.store.put(TransportServerClaim(ClaimMeta("tsc", "shop", "u", "", 1, "2024-01-01T00:00:00Z")))
        self.store.take()

    def became(self, verdict: Verdict | None) -> None:
        """Tell what became of the claim."""
        verdicts: Mapping[Asker, Verdict] = {WHO: verdict} if verdict is not None else {}
        self.waits.update(Snapshot(verdicts=verdicts), self.store.objects, frozenset())

    def notes(self) -> set[ObjectKey]:
        """Give the claims of which it is said that they waited long enough."""
        self.store.take()
        return set(self.store.objects.pair_notes)


@pytest.fixture
def world() -> Iterator[World]:
    """One that is stopped after the test."""
    made = World()
    yield made
    made.waits.stop()


def test_what_a_claim_waits_is_counted_from_when_it_was_made(world: World) -> None:
    """So that a router that begins later does not begin anew."""
    world.now_s = MADE_S + 61
    world.became(PAIRING)
    wait_for(lambda: world.notes() == {KEY}, "the note")
    world.became(None)
    wait_for(lambda: not world.notes(), "the note to go with the claim")


def test_who_is_served_in_time_is_told_nothing(world: World) -> None:
    """A reservation came; later nothing is due any more."""
    world.became(PAIRING)
    assert not world.notes()
    world.became(SERVED)
    other = WHO._replace(name="other")
    world.now_s = MADE_S + 100
    world.waits.update(
        Snapshot(verdicts={WHO: SERVED, other: Verdict(asker=other, reason=Reason.PAIRING)}),
        world.store.objects,
        frozenset(),
    )
    # Of the other it is not known when it was made: it waits from now on.
    assert not world.notes()


def test_a_claim_from_the_future_waits_no_longer_than_others(world: World) -> None:
    """Where the clocks of the API server and of the router differ."""
    world.now_s = MADE_S - 1000
    world.became(PAIRING)
    assert not world.notes()
    world.now_s = MADE_S - 939
    world.became(None)
    world.became(PAIRING)
    assert not world.notes()
