"""The book of claims after any changes is the book that is written anew."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission.claim_book import ClaimBook, ClaimOutcome
from router.admission.claims import Claim
from router.admission.options import sni_port_options
from router.admission.verdicts import Reason
from router.model import PortOptions
from router.resources import ObjectKey
from router.settings import RouteDefaults
from tests.unit.admission.builders import key

SNI = sni_port_options(RouteDefaults())
OTHER = PortOptions(timeout_client_ms=1, maxconn=None, tcp_keepalive=True, accept_proxy=False)
KEYS = [key(name) for name in "abcd"]


def claim(
    route: ObjectKey,
    port: int | None = None,
    host: str | None = None,
    *,
    shares: bool = False,
    options: PortOptions = SNI,
    holds: bool = False,
) -> Claim:
    """Make a claim as a Route can have it: at least a port or a host, and a host where it shares."""
    if port is None:
        host, shares = host or "x.example.com", False
    return Claim(
        key=route,
        port=port,
        shares_port=shares and host is not None,
        port_options=options,
        host=host,
        created=None,
        holds_port=holds and port is not None,
        holds_host=holds and host is not None,
    )


CLAIMS = st.one_of(
    st.sampled_from(KEYS),
    st.builds(
        claim,
        st.sampled_from(KEYS),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, "x.example.com", ".example.com"]),
        shares=st.booleans(),
        options=st.sampled_from([SNI, SNI, OTHER]),
        holds=st.booleans(),
    ),
)


@given(st.lists(st.lists(CLAIMS, min_size=1, max_size=3), max_size=25), st.sampled_from([0, 8443]))
@settings(max_examples=500)
def test_after_any_changes_it_is_the_book_written_anew(batches: list[list[Claim | ObjectKey]], sni_port: int) -> None:
    """Outcomes and shared frontends are those of a new book with the same claims, and who changed was named."""
    book = ClaimBook(sni_port, SNI)
    current: dict[ObjectKey, Claim] = {}
    outcomes: dict[ObjectKey, ClaimOutcome] = {}
    for batch in batches:
        for change in batch:
            if isinstance(change, Claim):
                current[change.key] = change
                book.put(change.key, change)
            else:
                current.pop(change, None)
                book.put(change, None)
        named = book.settle()
        anew = ClaimBook(sni_port, SNI)
        for each in current.values():
            anew.put(each.key, each)
        anew.settle()
        assert book.shared_frontends() == anew.shared_frontends()
        now = {route: book.outcome(route) for route in KEYS}
        assert now == {route: anew.outcome(route) for route in KEYS}
        assert {route for route in KEYS if now[route] != outcomes.get(route, ClaimOutcome())} <= named
        outcomes = now


def test_a_claim_that_does_not_change_is_not_decided_again() -> None:
    """Endpoints that move touch no claim."""
    book = ClaimBook(8443, SNI)
    book.put(KEYS[0], claim(KEYS[0], 1, "x.example.com"))
    assert book.settle() == {KEYS[0]}
    before = book.shared_frontends()
    book.put(KEYS[0], claim(KEYS[0], 1, "x.example.com"))
    assert book.settle() == set()
    assert book.shared_frontends() is before


def test_only_those_who_are_concerned_are_named() -> None:
    """A Route that leaves a port changes the next in its queue, and nobody else."""
    book = ClaimBook(8443, SNI)
    for route, port in zip(KEYS, (1, 1, 2, 2), strict=True):
        book.put(route, claim(route, port))
    book.settle()
    rejection = book.outcome(KEYS[1]).rejection
    assert rejection is not None
    assert rejection.reason is Reason.PORT_ALREADY_CLAIMED
    book.put(KEYS[0], None)
    assert book.settle() == {KEYS[0], KEYS[1]}
    assert book.outcome(KEYS[1]) == ClaimOutcome()
