"""Which claims are spare, and which ports cool down, of those that are given to who asks for any."""

from __future__ import annotations

import pytest

from router.admission import Reason, Verdict
from router.admission.places import Place
from router.model import Asker
from router.settings import PortRanges
from router.status.given import Given
from tests.unit.admission.test_ledger import DB, WEB, claim, ledger_of

PORTS = PortRanges(((15_000, 15_999),))
PLACE, OTHER = Place(15_432), Place(15_433)


def given() -> Given:
    """Make the account of two claims of one holder."""
    ledger = ledger_of(claim("a"), claim("b", OTHER.port))
    made = Given(PORTS, ledger)
    made.take(ledger.names())
    return made


def served(asker: Asker, port: int = PLACE.port, *, auto: bool = True) -> Verdict:
    """Give the verdict of one that is served."""
    return Verdict(asker=asker, port=port, places=(Place(port),), auto=auto)


def serve(account: Given, verdict: Verdict) -> set[Place]:
    """Take a verdict."""
    return set(account.serve(verdict.asker, verdict, verdict.places))


def test_what_else_it_won_is_spare_where_it_is_served_on_a_port_that_it_was_given() -> None:
    """And is to be looked at again then."""
    account = given()
    assert not account.is_elsewhere(OTHER, DB)
    assert serve(account, served(DB)) == {PLACE, OTHER}
    assert account.is_elsewhere(OTHER, DB)
    assert not account.is_elsewhere(PLACE, DB)
    assert not account.is_elsewhere(OTHER, WEB)
    assert serve(account, served(DB)) == set()
    assert set(account.serve(DB, None, ())) == {PLACE, OTHER}
    assert not account.is_elsewhere(OTHER, DB)


def test_who_asks_by_number_has_nothing_that_is_spare_by_that() -> None:
    """Whoever asks for a certain port is asked about each claim."""
    account = given()
    assert serve(account, served(DB, auto=False)) == set()
    assert not account.is_elsewhere(OTHER, DB)


def test_a_port_cools_down_but_for_who_asks_for_it_by_number() -> None:
    """As long as it does."""
    account = given()
    assert account.cools(PLACE)
    assert not account.cools(Place(16_000))
    assert not account.cools(Place(PLACE.port, "db.example.com"))
    waits = Verdict(asker=WEB, port=PLACE.port, reason=Reason.PORT_ALREADY_CLAIMED, message="held")
    assert serve(account, waits) == {PLACE}
    assert not account.cools(PLACE)
    assert serve(account, waits) == set()
    assert set(account.serve(WEB, None, ())) == {PLACE}
    assert account.cools(PLACE)


def test_without_ports_to_give_nothing_is_kept() -> None:
    """It costs nothing where it is not used."""
    ledger = ledger_of(claim("a"))
    account = Given(PortRanges(()), ledger)
    account.take(ledger.names())
    assert serve(account, served(DB)) == set()
    assert not account.cools(PLACE)


@pytest.mark.parametrize("names", [["a"], ["b"], ["a", "b"]])
def test_claims_that_went_are_forgotten(names: list[str]) -> None:
    """They are nobody's spare ones any more."""
    ledger = ledger_of(claim("a"), claim("b", OTHER.port))
    account = Given(PORTS, ledger)
    account.take(ledger.names())
    for name in names:
        ledger.put(name, None)
    account.take(names)
    assert serve(account, served(DB)) == {PLACE, OTHER} - {PLACE if name == "a" else OTHER for name in names}
