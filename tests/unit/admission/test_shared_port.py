"""A port that many share: one host after the other is decided alone, and comes to what all of them together come to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission.claim_book import ClaimBook
from router.admission.claim_outcome import ClaimOutcome
from router.admission.claims import Claim
from router.admission.ledger import Ledger
from router.admission.lines import Line, Lines
from router.admission.shared_frontends import SharedFrontends, sni_host
from router.admission.verdicts import Reason
from router.model import Asker, Spot
from router.objects.portclaim import ClaimHolder, PortClaim
from router.ordered import Advance
from tests.unit.admission.builders import asker, port_claim
from tests.unit.admission.test_claim_book import OTHER, OVERLAPPING, SNI, book_of, claim

PORT = 7000
ASKERS = [asker(name, namespace) for name in "abcd" for namespace in ("shop", "other")]
# Some under a wildcard that is claimed at times, and most not.
HOSTS = st.sampled_from(
    [*(f"{name}.example.org" for name in "vwxyz"), "x.example.com", "y.example.com", ".example.com"]
)
CREATED = st.sampled_from([None, "2020", "2021", "2022"])
SHARES = st.builds(
    claim,
    st.sampled_from(ASKERS),
    st.just(PORT),
    HOSTS,
    shares=st.sampled_from([True]),
    options=st.sampled_from([*[SNI] * 6, OTHER]),
    created=CREATED,
)
OTHERS = st.builds(
    claim,
    st.sampled_from(ASKERS),
    st.sampled_from([PORT, PORT, PORT, 7001, None]),
    st.sampled_from([None, "x.example.org"]),
    shares=st.booleans(),
    created=CREATED,
    address=st.sampled_from(["", "", "", "inside", "elsewhere"]),
)
NAMES = st.sampled_from("pqrs")
WON = st.builds(
    port_claim,
    NAMES,
    st.just(PORT),
    st.sampled_from(ASKERS),
    host=st.sampled_from(["v.example.org", "w.example.org", "x.example.org", "x.example.com", "*.example.com"]),
    created=st.sampled_from(["2022", "2023", "2024"]),
)
WHOLE = st.builds(port_claim, NAMES, st.just(PORT), st.sampled_from(ASKERS), created=st.sampled_from(["2022", "2023"]))
RESERVED = st.builds(
    port_claim,
    NAMES,
    st.just(PORT),
    st.sampled_from([None, ClaimHolder(namespace="shop"), ClaimHolder(namespace="other")]),
    host=st.sampled_from(["", "v.example.org", "x.example.org"]),
    origin=st.just("Reserved"),
    end=st.sampled_from([None, None, 7001]),
)
Change = Claim | Asker | PortClaim | str
CHANGES = st.one_of(SHARES, SHARES, SHARES, st.sampled_from(ASKERS), WON, WON, NAMES, OTHERS, WHOLE, RESERVED)
START = st.lists(SHARES, min_size=6, max_size=10)


@given(START, st.lists(st.lists(CHANGES, min_size=1, max_size=3), max_size=25), st.booleans())
@settings(max_examples=600)
def test_after_any_changes_it_is_the_book_written_anew(
    start: list[Claim],
    batches: list[list[Change]],
    owns_domains: bool,  # noqa: FBT001 - of Hypothesis
) -> None:
    """Who has it, what the others are told, whom it is news for, and what is published."""
    ledger = Ledger("tcp-router", OVERLAPPING)
    book = book_of(0, ledger, owns_domains=owns_domains)
    current: dict[Asker, Claim] = {}
    outcomes: dict[Asker, ClaimOutcome] = {}
    for batch in [list[Change](start), *batches]:
        for change in batch:
            apply(book, ledger, current, change)
        book.touch(ledger.take_touched())
        named = book.settle()
        same = Ledger("tcp-router", OVERLAPPING)
        for name in ledger.names():
            same.put(name, ledger.claim(name))
        anew = book_of(0, same, book.served(), owns_domains=owns_domains)
        anew.touch(same.take_touched())
        for each in current.values():
            anew.put(each.asker, each)
        anew.settle()
        now = {each: book.outcome(each) for each in ASKERS}
        assert now == {each: anew.outcome(each) for each in ASKERS}
        assert book.served() == anew.served()
        assert book.shared_frontends() == anew.shared_frontends()
        assert {each for each in ASKERS if now[each] != outcomes.get(each, ClaimOutcome())} <= named
        outcomes = now


def apply(book: ClaimBook, ledger: Ledger, current: dict[Asker, Claim], change: Change) -> None:
    """Make a change."""
    match change:
        case PortClaim():
            ledger.put(change.metadata.name, change)
        case str():
            ledger.put(change, None)
        case Claim():
            current[change.asker] = change
            book.put(change.asker, change)
        case _:
            current.pop(change, None)
            book.put(change, None)


def shared_by(count: int) -> tuple[ClaimBook, Ledger]:
    """Make a book of a port that so many share, each with its PortClaim."""
    ledger = Ledger("tcp-router")
    book = book_of(0, ledger)
    for number in range(count):
        host, who = f"h{number}.example.com", asker(f"r{number:05}", f"team-{number % 7}")
        book.put(who, claim(who, PORT, host, shares=True, created="2020"))
        ledger.put(f"c{number}", port_claim(f"c{number}", PORT, who, host=host, created="2021"))
    book.touch(ledger.take_touched())
    book.settle()
    return book, ledger


WHO = asker("new", "team-1")


def comes(book: ClaimBook, _: Ledger) -> None:
    """Have one more."""
    book.put(WHO, claim(WHO, PORT, "new.example.com", shares=True, created="2019"))


def is_written(book: ClaimBook, ledger: Ledger) -> None:
    """Write its claim."""
    ledger.put("new", port_claim("new", PORT, WHO, host="new.example.com", created="2024"))
    book.touch(ledger.take_touched())


def asks_otherwise(book: ClaimBook, _: Ledger) -> None:
    """Have it ask for another host."""
    book.put(WHO, claim(WHO, PORT, "other.example.com", shares=True, created="2019"))


def asks_for_all(book: ClaimBook, _: Ledger) -> None:
    """Have somebody ask for the whole port, in vain."""
    greedy = asker("greedy")
    book.put(greedy, claim(greedy, PORT, created="2018"))


def goes(book: ClaimBook, _: Ledger) -> None:
    """Have it go; its claim is there still."""
    book.put(WHO, None)


def is_given_up(book: ClaimBook, ledger: Ledger) -> None:
    """Delete its claim."""
    ledger.put("new", None)
    book.touch(ledger.take_touched())


LIFE = (comes, is_written, asks_otherwise, asks_for_all, goes, is_given_up)


@pytest.mark.parametrize("at", range(len(LIFE)), ids=[each.__name__ for each in LIFE])
def test_a_host_costs_the_same_however_many_share_the_port(at: int) -> None:
    """Through the life of a Route, whose PortClaim comes after it and goes after it."""

    def calls(count: int) -> int:
        book, ledger = shared_by(count)
        for step in LIFE[:at]:
            step(book, ledger)
            book.settle()
        return counted(lambda: (LIFE[at](book, ledger), book.settle()))

    few, many = calls(30), calls(1_000)
    # It is found among them by halving.
    assert many <= few + 40


def counted(action: Callable[[], object]) -> int:
    """Count the calls that something makes."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def test_what_concerns_all_is_decided_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes first leaves, a reservation of the port, a claim to a wildcard: then all claims are looked at."""
    book, ledger = shared_by(30)
    looked = Mock()
    whole = Lines.of_port

    def of_port(lines: Lines, port: int, claims: Iterable[Claim]) -> Line:
        looked(port)
        return whole(lines, port, claims)

    monkeypatch.setattr(Lines, "of_port", of_port)
    comes(book, ledger)
    book.settle()
    assert looked.call_count == 0
    first = asker("r00000", "team-0")
    book.put(first, None)
    book.settle()
    assert looked.call_count == 1
    wild = asker("wild", "team-2")
    book.put(wild, claim(wild, PORT, ".example.com", shares=True))
    book.settle()
    assert looked.call_count == 2
    rejection = book.outcome(wild).rejection
    assert rejection is not None
    assert rejection.reason is Reason.HOST_ALREADY_CLAIMED
    ledger.put("keep", port_claim("keep", PORT, None, origin="Reserved"))
    book.touch(ledger.take_touched())
    book.settle()
    assert looked.call_count == 3
    assert book.shared_frontends() == ()


def test_of_one_host_that_changes_nobody_has_to_compare_all() -> None:
    """How the hosts came from those before goes with them, also of the next change; each time they are in order."""
    frontends, spot = SharedFrontends(), Spot(PORT)
    a, b, c = (claim(asker(name), PORT, f"{name}.example.org", shares=True) for name in "abc")
    frontends.share(spot, [a, c])
    for host, now, removed, added, all_of in (
        ("b.example.org", b, (), (b,), (a, b, c)),
        ("a.example.org", None, (a,), (), (b, c)),
    ):
        (before,) = frontends.values()
        frontends.change(spot, host, now)
        (after,) = frontends.values()
        assert after.hosts == tuple(map(sni_host, all_of))
        assert after.advance == Advance(
            before.hosts, after.hosts, tuple(map(sni_host, removed)), tuple(map(sni_host, added))
        )
    frontends.change(spot, "b.example.org", b)
    assert frontends.values() == (after,)
