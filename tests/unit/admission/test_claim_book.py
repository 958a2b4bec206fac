"""The book of claims after any changes is the book that is written anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission.address_use import AddressUse
from router.admission.claim_book import ClaimBook
from router.admission.claim_outcome import ClaimOutcome
from router.admission.claims import Claim
from router.admission.ledger import Ledger
from router.admission.lines import Lines
from router.admission.options import sni_port_options
from router.admission.places import Place
from router.admission.policy import Policies
from router.admission.verdicts import Reason, Rejection
from router.model import Asker, PortOptions
from router.objects.portclaim import ClaimHolder, PortClaim
from router.settings import RouteDefaults
from tests.unit.admission.builders import NAMESPACE, SETTINGS, asker, port_claim

SNI = sni_port_options(RouteDefaults())
OTHER = PortOptions(timeout_client_ms=1, maxconn=None, tcp_keepalive=True, accept_proxy=False)
KEYS = [asker("a"), asker("b"), asker("a", "other"), asker("b", "third")]
HOSTS = ["x.example.com", "y.example.com", "x.example.org", ".example.com", ".example.com", ".example.org"]


def claim(
    route: Asker,
    port: int | None = None,
    host: str | None = None,
    *,
    shares: bool = False,
    options: PortOptions = SNI,
    created: str | None = None,
    address: str = "",
) -> Claim:
    """Make a claim as a Route can have it: at least a port or a host, and a host where it shares."""
    if port is None:
        host, shares = host or "x.example.com", False
    return Claim(
        asker=route,
        port=port,
        shares_port=shares and host is not None,
        port_options=options,
        host=host,
        created=created,
        address=address if port is not None else "",
    )


OVERLAPPING = ("inside",)
ADDRESSES = st.sampled_from(["", "", "", "inside", "elsewhere", "unknown"])
CLAIMS = st.one_of(
    st.sampled_from(KEYS),
    st.builds(
        claim,
        st.sampled_from(KEYS),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, *HOSTS]),
        shares=st.booleans(),
        options=st.sampled_from([SNI, SNI, SNI, OTHER]),
        created=st.sampled_from([None, "2020", "2021"]),
        address=ADDRESSES,
    ),
)
NAMES = st.sampled_from(["p", "q", "r"])
PORT_CLAIMS = st.one_of(
    NAMES,
    st.builds(
        port_claim,
        NAMES,
        st.sampled_from([0, 1, 2]),
        st.sampled_from(KEYS),
        host=st.sampled_from(["x.example.com", "y.example.com", "*.example.com"]),
        created=st.sampled_from(["2022", "2023"]),
    ),
    st.builds(
        port_claim,
        NAMES,
        st.sampled_from([1, 2]),
        st.sampled_from(KEYS),
        created=st.sampled_from(["2022", "2023"]),
        address=ADDRESSES,
    ),
    st.builds(
        port_claim,
        NAMES,
        st.sampled_from([1, 2]),
        st.sampled_from([None, ClaimHolder(namespace=NAMESPACE), ClaimHolder(namespace="other")]),
        host=st.sampled_from(["", "", "x.example.com"]),
        origin=st.just("Reserved"),
        end=st.sampled_from([None, None, 2]),
        address=ADDRESSES,
    ),
    st.builds(
        port_claim,
        NAMES,
        st.just(0),
        st.sampled_from([None, ClaimHolder(namespace="other")]),
        host=st.sampled_from(["x.example.com", "*.example.com"]),
        origin=st.just("Reserved"),
    ),
)


ADDRESS_USE = AddressUse({"other": frozenset({"elsewhere", "unknown"})}.get, frozenset({"inside", "elsewhere"}))


def book_of(
    sni_port: int = 8443,
    ledger: Ledger | None = None,
    served: Mapping[Place, Asker] | None = None,
    policies: Policies | None = None,
    *,
    owns_domains: bool = True,
) -> ClaimBook:
    """Make a book."""
    ledger = ledger or Ledger("tcp-router", OVERLAPPING)
    policies = policies or Policies(SETTINGS)
    return ClaimBook(
        sni_port,
        SNI,
        ledger,
        served or {},
        policies,
        owns_domains=owns_domains,
        overlapping=OVERLAPPING,
        address_use=ADDRESS_USE,
    )


def assert_no_two_have_one(book: ClaimBook, claims: Iterable[Claim]) -> None:
    """A port of an address is one's, or shared by all who have it; and so is that of all addresses together and of one of them."""
    has = [each for each in claims if each.port is not None and book.outcome(each.asker).rejection is None]
    for one, other in combinations(has, 2):
        if one.port == other.port and one.address == other.address:
            assert one.shares_port
            assert other.shares_port
        elif one.port == other.port:
            assert not ({one.address, other.address} <= {"", *OVERLAPPING})


@given(
    st.lists(st.lists(CLAIMS | CLAIMS | PORT_CLAIMS, min_size=1, max_size=3), max_size=25),
    st.sampled_from([0, 8443, 8443]),
    st.booleans(),
)
@settings(max_examples=500)
def test_after_any_changes_it_is_the_book_written_anew(
    batches: list[list[Claim | Asker | PortClaim | str]],
    sni_port: int,
    owns_domains: bool,  # noqa: FBT001 - of Hypothesis
) -> None:
    """Outcomes and shared frontends are those of a new book with the same claims, and who changed was named."""
    ledger = Ledger("tcp-router", OVERLAPPING)
    book = book_of(sni_port, ledger, owns_domains=owns_domains)
    current: dict[Asker, Claim] = {}
    outcomes: dict[Asker, ClaimOutcome] = {}
    for batch in batches:
        before = dict(book.served())
        for change in batch:
            if isinstance(change, PortClaim):
                ledger.put(change.metadata.name, change)
            elif isinstance(change, str):
                ledger.put(change, None)
            elif isinstance(change, Claim):
                current[change.asker] = change
                book.put(change.asker, change)
            else:
                current.pop(change, None)
                book.put(change, None)
        book.touch(ledger.take_touched())
        named = book.settle()
        same = Ledger("tcp-router", OVERLAPPING)
        for name in ledger.names():
            same.put(name, ledger.claim(name))
        anew = book_of(sni_port, same, book.served(), owns_domains=owns_domains)
        anew.touch(same.take_touched())
        for each in current.values():
            anew.put(each.asker, each)
        anew.settle()
        assert_no_two_have_one(book, current.values())
        assert book.shared_frontends() == anew.shared_frontends()
        now = {route: book.outcome(route) for route in KEYS}
        assert now == {route: anew.outcome(route) for route in KEYS}
        assert {route for route in KEYS if now[route] != outcomes.get(route, ClaimOutcome())} <= named
        outcomes = now
        lines = Lines(ledger, before, Policies(SETTINGS), OVERLAPPING, ADDRESS_USE)
        assert who_is_reached(book) == by_the_queue(current.values(), lines, sni_port, owns_domains=owns_domains)
        assert book.served() == anew.served()


def who_is_reached(book: ClaimBook) -> set[tuple[int, str, Asker]]:
    """Give port, host and Route of all shared ports."""
    return {(shared.port, host.host, host.asker) for shared in book.shared_frontends() for host in shared.hosts}


def by_the_queue(
    claims: Iterable[Claim], lines: Lines, sni_port: int, *, owns_domains: bool
) -> set[tuple[int, str, Asker]]:
    """Decide by the rules as docs/admission.md says them: one after the other, all who do not go with one before are out."""
    reached = set()
    lost_port: set[Asker] = set()
    everybody = list(claims)
    for port in {each.port for each in everybody if each.port is not None}:
        line, barred, _ = lines.of_port(port, [each for each in everybody if each.port == port])
        lost_port |= barred.keys()
        queue = sorted(line, key=lambda each: each.port_order)
        of_port: list[Claim] = []
        for each in queue:
            served = [other for other in of_port if other.address == each.address]
            asking = [other for other in served if not other.remembered_by]
            joins = not served or (
                served[0].shares_port
                and each.shares_port
                and (not asking or bool(each.remembered_by) or each.port_options == asking[0].port_options)
            )
            beside = any(
                other.address != each.address and {other.address, each.address} <= {"", *OVERLAPPING}
                for other in of_port
            )
            if joins and not beside and not any(excludes(other, each, owns_domains=owns_domains) for other in served):
                of_port.append(each)
            elif not each.remembered_by:
                lost_port.add(each.asker)
        reached |= {
            (port, each.host or "", each.asker) for each in of_port if each.shares_port and not each.remembered_by
        }
    seekers = [each for each in everybody if each.host and each.asker not in lost_port]
    hosts = {each.host or "" for each in seekers} | {".example.com", "x.example.com", "y.example.com"}
    standing = [each for host in hosts for each in lines.of_host(host, [s for s in seekers if s.host == host]).values()]
    served = []
    for each in sorted(standing, key=lambda each: each.host_order):
        if not any(excludes(other, each, owns_domains=owns_domains) for other in served):
            served.append(each)
    if not sni_port:
        return reached
    return reached | {(sni_port, each.host or "", each.asker) for each in served if not each.remembered_by}


def excludes(one: Claim, other: Claim, *, owns_domains: bool) -> bool:
    """Say whether two claims to hosts cannot both be served: the same, or one over the other of another namespace."""
    if one.host == other.host:
        return True
    over = (
        f".{(one.host or '').partition('.')[2]}" == other.host or f".{(other.host or '').partition('.')[2]}" == one.host
    )
    return owns_domains and over and one.asker.namespace != other.asker.namespace


def test_a_claim_that_does_not_change_is_not_decided_again() -> None:
    """Endpoints that move touch no claim."""
    book = book_of()
    book.put(KEYS[0], claim(KEYS[0], 1, "x.example.com"))
    assert book.settle() == {KEYS[0]}
    before = book.shared_frontends()
    book.put(KEYS[0], claim(KEYS[0], 1, "x.example.com"))
    assert book.settle() == set()
    assert book.shared_frontends() is before


def test_only_those_who_are_concerned_are_named() -> None:
    """A Route that leaves a port changes the next in its queue, and nobody else."""
    book = book_of()
    for route, port in zip(KEYS, (1, 1, 2, 2), strict=True):
        book.put(route, claim(route, port))
    book.settle()
    rejection = book.outcome(KEYS[1]).rejection
    assert rejection is not None
    assert rejection.reason is Reason.PORT_ALREADY_CLAIMED
    book.put(KEYS[0], None)
    assert book.settle() == {KEYS[0], KEYS[1]}
    assert book.outcome(KEYS[1]) == ClaimOutcome()


@pytest.mark.parametrize("has_wildcards", [False, True], ids=["hosts alone", "below wildcards that are claimed"])
def test_a_host_more_costs_the_same_however_many_its_domain_has(*, has_wildcards: bool) -> None:
    """All teams' hosts are under one domain as a rule; one host, or one claim to all of it, is a comparison and not a look at all."""
    book = book_of()
    for number in range(300):
        route = asker("a", f"team-{number}")
        book.put(route, claim(route, None, f"h{number}.example.com"))
    book.settle()
    wild = asker("wild", "greedy")
    if has_wildcards:
        book.put(wild, claim(wild, None, ".example.com", created="2020"))
    book.settle()
    settled = Mock(wraps=book._settle_host)  # noqa: SLF001 - to count
    book._settle_host = settled  # type: ignore[method-assign]  # noqa: SLF001
    changes = [
        (asker("b", "team-1"), "new.example.com", None),
        (wild, ".example.com", "2019"),
        (wild, ".example.com", "2021"),
    ]
    for route, host, created in changes:
        settled.reset_mock()
        book.put(route, claim(route, None, host, created=created))
        assert book.settle() <= {route, wild}
        assert settled.call_count <= 2
    assert (book.outcome(wild).rejection or Rejection(Reason.INVALID_HOST, "")).message == (
        "a route in another namespace holds a host under *.example.com on the SNI port 8443"
    )
