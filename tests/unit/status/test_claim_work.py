"""What the leader does about a place's claims, as values."""

from __future__ import annotations

import msgspec
import pytest

from router.admission.ledger import Ledger
from router.admission.places import SNI, Place
from router.model import Asker
from router.objects.portclaim import ClaimHolder, PortClaim
from router.status.claim_work import NOW, Check, Create, Remake, Work, claim_name, stranger, telling, work_on
from router.status.claims_backlog import ClaimsBacklog
from tests.unit.admission.test_ledger import BILLING, DB, LATE, WEB, claim, ledger_of, reserved

PLACE = Place(15432)
NAME = "tcp-router-15432"
WON = claim(NAME)
FOR_DB = ClaimHolder(kind="Route", namespace="shop", name="db")
FOR_SHOP = ClaimHolder(namespace="shop")

CASES: dict[str, tuple[Asker | None, list[PortClaim], list[Work]]] = {
    "nothing anywhere": (None, [], []),
    "served and not written": (DB, [], [Create(NAME, PLACE, DB)]),
    "served and written": (DB, [WON], []),
    "somebody deleted it": (DB, [claim("other", 15433)], [Create(NAME, PLACE, DB)]),
    "somebody changed it": (DB, [claim(NAME, generation=2)], [Remake(claim(NAME, generation=2), PLACE, DB)]),
    "somebody changed its holder": (
        DB,
        [claim(NAME, held_by=WEB, generation=2)],
        [Remake(claim(NAME, held_by=WEB, generation=2), PLACE, DB)],
    ),
    "written for another, whom this replica follows at its next turn": (WEB, [WON], [Check(WON)]),
    "not served any more": (None, [WON], [Check(WON)]),
    "a second claim of somebody else": (
        DB,
        [WON, claim("second", held_by=WEB, created=LATE)],
        [Check(claim("second", held_by=WEB, created=LATE))],
    ),
    "reserved for the very one": (DB, [reserved(NAME, held_by=FOR_DB)], []),
    "reserved for somebody else, as will be served soon": (BILLING, [reserved(held_by=FOR_SHOP)], []),
    "reserved for the namespace": (DB, [reserved(held_by=FOR_SHOP)], [Create(NAME, PLACE, DB)]),
    "reserved for the namespace by a claim that has the name": (
        DB,
        [reserved(NAME, held_by=FOR_SHOP)],
        [Create(claim_name("tcp-router", PLACE, hashed=True), PLACE, DB)],
    ),
    "reserved for the namespace, and won by another before": (
        DB,
        [claim(NAME, held_by=BILLING), reserved(held_by=FOR_SHOP)],
        [Remake(claim(NAME, held_by=BILLING), PLACE, DB)],
    ),
    "reserved for nobody, and won before": (None, [WON, reserved()], [Check(WON)]),
}


@pytest.mark.parametrize(("served", "claims", "expected"), CASES.values(), ids=CASES)
def test_what_is_to_be_done(served: Asker | None, claims: list[PortClaim], expected: list[Work]) -> None:
    """Write what is served, restore what somebody took or changed, and ask before anything is given up."""
    assert list(work_on(PLACE, served, ledger_of(*claims))) == expected


def test_names() -> None:
    """The same on every replica, one for each place, and no longer than a name may be."""
    places = [Place(1), Place(11), Place(1, "a.example.com"), Place(1, ".example.com"), Place(SNI, "a.example.com")]
    names = [claim_name("r", place) for place in places]
    assert names[:2] == ["r-1", "r-11"]
    assert len(set(names)) == len(names)
    assert len(claim_name("l" * 228, Place(65535, "x" * 253))) <= 253


def test_what_a_status_says() -> None:
    """The holder in words, whether the claim counts and why not, and since when nobody uses it."""
    ledger = ledger_of(WON, reserved(held_by=FOR_SHOP), claim("late", held_by=BILLING, created=LATE))
    told = telling(NAME, DB, ledger)
    assert told is not None
    (condition,) = told.status.conditions or ()
    assert (told.status.holder, condition.status, condition.reason) == ("Route shop/db", "True", "InForce")
    assert told.status.released_at is None
    told = telling("late", DB, ledger)
    assert told is not None
    (condition,) = told.status.conditions or ()
    assert (condition.status, condition.reason) == ("False", "Overruled")
    assert condition.message == "PortClaim keep counts in its place"
    told = telling("keep", None, ledger)
    assert told is not None
    assert (told.status.holder, told.status.released_at) == ("namespace shop", NOW)
    assert telling("gone", None, Ledger("tcp-router")) is None


def test_what_is_proposed_takes_the_claim_of_one_that_was_made_again() -> None:
    """That one is gone, as there is another of its name; of anybody else nothing is taken."""
    again = DB._replace(uid="made again")
    assert list(work_on(PLACE, again, ledger_of(WON), is_proposed=True)) == [
        Remake(WON, PLACE, again, is_proposed=True)
    ]
    assert list(work_on(PLACE, WEB, ledger_of(WON), is_proposed=True)) == [Check(WON)]
    assert list(work_on(PLACE, WEB, ledger_of(), is_proposed=True)) == [Create(NAME, PLACE, WEB, is_proposed=True)]


def test_what_is_given_up_cools_down_and_what_is_spare_is_told_so() -> None:
    """For who checks it."""
    works = work_on(PLACE, None, ledger_of(WON), cools=True, is_elsewhere=lambda asker: asker == DB)
    assert list(works) == [Check(WON, cools=True, is_spare=True)]


def test_what_is_told_of_a_reservation_that_nobody_reads() -> None:
    """One of another ledger of which no router says anything; not what is won, and not what some router read."""
    told = stranger(reserved(held_by=FOR_SHOP, ledger="tcp-ruoter"), "tcp-router")
    assert told is not None
    (condition,) = told.status.conditions or ()
    assert (condition.type, condition.status, condition.reason) == ("InForce", "Unknown", "UnknownLedger")
    assert condition.message == "no router goes by the ledger tcp-ruoter; one that goes by tcp-router runs here"
    assert (told.status.holder, told.least_age_s) == ("namespace shop", 60.0)
    read = msgspec.structs.replace(told.claim, status=told.status)
    assert stranger(read, "tcp-router") is None
    assert stranger(claim(ledger="other"), "tcp-router") is None


def test_who_is_served_only_by_its_claim_goes_first() -> None:
    """Of thousands that are served already and only to be written: at a first start, and when a replica comes to lead."""
    backlog = ClaimsBacklog()
    served = {Place(port): (Create(f"tcp-router-{port}", Place(port), DB),) for port in range(1, 10)}
    waits = Create("tcp-router-10", Place(10), WEB, is_proposed=True)
    backlog.open()
    backlog.note({**served, Place(10): (waits,)}, {})
    assert backlog.pop(0.0) == ("write tcp-router-10", waits)
    backlog.close()
    backlog.open()
    assert backlog.pop(0.0) == ("write tcp-router-10", waits)
