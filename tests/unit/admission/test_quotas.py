"""How many ports a namespace may hold: one pass over one order, and the same after any changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission import Reason
from router.admission.claim_book import ClaimBook
from router.admission.claim_outcome import ClaimOutcome
from router.admission.claims import NEWCOMER, Claim
from router.admission.ledger import Ledger
from router.admission.lines import Lines
from router.admission.options import sni_port_options
from router.admission.places import Place
from router.admission.policy import Policies
from router.admission.port_decision import PortDecision
from router.model import Asker, Spot
from router.objects.kinds import KubernetesObject
from router.objects.namespace import Namespace
from router.objects.portclaim import ClaimHolder, PortClaim
from router.settings import AdmissionSettings, RouteDefaults
from tests.unit.admission.builders import SETTINGS, asker, port_claim, route
from tests.unit.admission.test_namespace_policy import World
from tests.unit.admission.test_policy import namespace

SNI = sni_port_options(RouteDefaults())
OVERLAPPING = frozenset({"inner"})
TEAMS = ["x", "y", "z"]
ASKERS = [asker(name, team) for team in TEAMS for name in "abcd"]
ENFORCED = replace(SETTINGS, enforces_policy_on_holders=True)
LIMITED = replace(SETTINGS, namespace_max_ports=2)


def claim(
    whose: Asker, port: int | None, host: str | None = None, created: str | None = None, address: str = ""
) -> Claim:
    """Make a claim to a port; with a host to one that is shared."""
    return Claim(
        asker=whose,
        port=port,
        shares_port=port is not None and host is not None,
        port_options=SNI,
        host=host if port is not None else host or "a.example.com",
        created=created,
        address=address if port is not None else "",
    )


CLAIMS = st.sampled_from(ASKERS) | st.builds(
    claim,
    st.sampled_from(ASKERS),
    st.sampled_from([1, 1, 2, 3, 4, None]),
    st.sampled_from([None, None, "a.example.com", "b.example.com"]),
    st.sampled_from([None, "2020", "2021", "2022"]),
    st.sampled_from(["", "", "inner", "outer"]),
)
NAMES = st.sampled_from("pqrs")
PORT_CLAIMS = st.one_of(
    NAMES,
    st.builds(
        port_claim,
        NAMES,
        st.sampled_from([1, 2, 3, 4]),
        st.sampled_from(ASKERS),
        created=st.sampled_from(["2023", "2024"]),
        host=st.sampled_from(["", "", "a.example.com"]),
    ),
    st.builds(
        port_claim,
        NAMES,
        st.sampled_from([1, 2]),
        st.sampled_from([None, ClaimHolder(namespace="x"), ClaimHolder(namespace="y")]),
        origin=st.just("Reserved"),
        end=st.sampled_from([None, 2]),
    ),
)
POLICIES = st.builds(
    lambda name, said: namespace(name, None, **said),
    st.sampled_from(TEAMS),
    st.fixed_dictionaries(
        {},
        optional={
            "tcp_ports_max": st.sampled_from(["0", "1", "1", "2", "x"]),
            "tcp_ports": st.sampled_from(["1-3", "2-4", "1-4"]),
            "tcp_ports_exclusive": st.sampled_from(["1", "1-2"]),
        },
    ),
)
Change = Claim | Asker | PortClaim | str | Namespace


@dataclass
class Given:
    """What there is."""

    settings: AdmissionSettings
    claims: dict[Asker, Claim] = field(default_factory=dict)
    port_claims: dict[str, PortClaim] = field(default_factory=dict)
    namespaces: dict[str, Namespace] = field(default_factory=dict)

    def take(self, change: Change) -> None:
        """Take one change."""
        if isinstance(change, Claim):
            self.claims[change.asker] = change
        elif isinstance(change, Asker):
            self.claims.pop(change, None)
        elif isinstance(change, PortClaim):
            self.port_claims[change.metadata.name] = change
        elif isinstance(change, Namespace):
            self.namespaces[change.metadata.name] = change
        else:
            self.port_claims.pop(change, None)

    def followed(self, served: Mapping[Place, Asker] | None = None) -> Book:
        """Make a book of all that there is."""
        book = Book(self.settings, served or {})
        everything: list[Change] = [*self.namespaces.values(), *self.port_claims.values(), *self.claims.values()]
        for change in everything:
            book.take(change)
        book.settle()
        return book


class Book:
    """A book of claims, with what it goes by."""

    def __init__(self, given_settings: AdmissionSettings, served: Mapping[Place, Asker]) -> None:
        self.ledger = Ledger("tcp-router", OVERLAPPING)
        self.policies = Policies(given_settings)
        self.book = ClaimBook(8443, SNI, self.ledger, served, self.policies, overlapping=OVERLAPPING)

    def take(self, change: Change) -> None:
        """Take one change."""
        if isinstance(change, Claim):
            self.book.put(change.asker, change)
        elif isinstance(change, Asker):
            self.book.put(change, None)
        elif isinstance(change, PortClaim):
            self.ledger.put(change.metadata.name, change)
        elif isinstance(change, Namespace):
            self.policies.put(change.metadata.name, change)
        else:
            self.ledger.put(change, None)

    def settle(self) -> set[Asker]:
        """Decide."""
        self.book.touch(self.ledger.take_touched())
        self.book.touch_policies(self.policies.take_touched())
        return self.book.settle()

    def outcomes(self) -> dict[Asker, ClaimOutcome]:
        """Give what became of everybody."""
        return {each: self.book.outcome(each) for each in ASKERS}


def in_one_pass(given_: Given, lines: Lines, policies: Policies) -> tuple[set[Asker], set[Asker]]:
    """Decide as docs/ports.md says it: all claims in one order. Give who has the port, and who is over what the namespace may hold."""
    everybody = [
        each
        for port in range(1, 5)
        for each in lines.of_port(port, [c for c in given_.claims.values() if c.port == port]).queue
    ]
    decisions: dict[int, PortDecision] = {}
    held: dict[str, set[Spot]] = {}
    has, over = set(), set()
    for each in sorted(everybody, key=lambda each: each.port_place):
        spots = held.setdefault(each.asker.namespace, set())
        most = policies.max_ports(each.asker.namespace)
        may_lose = each.port_rank >= NEWCOMER or (policies.enforces and not policies.closed(each.asker.namespace))
        if most is not None and each.where not in spots and len(spots) >= most and may_lose:
            over.add(each.asker)
            continue
        decision = decisions.setdefault(each.where.port, PortDecision(owns_domains=True, overlapping=OVERLAPPING))
        if decision.offer(each) or each.remembered_by:
            spots.add(each.where)
            if not each.remembered_by:
                has.add(each.asker)
    return has, over


@given(
    st.lists(st.lists(CLAIMS | CLAIMS | CLAIMS | PORT_CLAIMS | POLICIES, min_size=1, max_size=4), max_size=20),
    st.sampled_from([SETTINGS, ENFORCED, LIMITED]),
)
@settings(max_examples=700)
def test_after_any_changes_it_is_one_pass_over_one_order(
    batches: list[list[Change]], given_settings: AdmissionSettings
) -> None:
    """Equal to a book written anew, and to the rule as it is told; who changed is named; no port has two holders, and none is won that was not allowed."""
    there = Given(given_settings)
    followed = Book(given_settings, {})
    outcomes: dict[Asker, ClaimOutcome] = {}
    for batch in batches:
        before = dict(followed.book.served())
        unconfirmed = {key: set(each) for key, each in followed.book.ports.lines.unconfirmed.items()}
        for change in batch:
            there.take(change)
            followed.take(change)
        named = followed.settle()
        anew = there.followed(followed.book.served())
        now = followed.outcomes()
        assert now == anew.outcomes()
        assert followed.book.served() == anew.book.served()
        assert {each for each in ASKERS if now[each] != outcomes.get(each, ClaimOutcome())} <= named
        outcomes = now
        lines = Lines(followed.ledger, before, followed.policies, OVERLAPPING)
        lines.unconfirmed = unconfirmed
        has, over = in_one_pass(there, lines, followed.policies)
        claimed = {each for each, its in there.claims.items() if its.port is not None}
        assert has == {each for each in claimed if now[each].rejection is None}
        exceeded = {each for each in claimed if _reason(now[each]) is Reason.PORT_QUOTA_EXCEEDED}
        assert exceeded <= over
        assert_won_what_was_allowed(followed, before, there)


def _reason(outcome: ClaimOutcome) -> Reason | None:
    return outcome.rejection.reason if outcome.rejection is not None else None


def assert_won_what_was_allowed(followed: Book, before: Mapping[Place, Asker], there: Given) -> None:
    """Nobody has newly got a port that its namespace may not have, or one more than it may hold; and each place is one's."""
    held: dict[str, set[tuple[int, str]]] = {}
    for place, whose in followed.book.served().items():
        if place.port:
            held.setdefault(whose.namespace, set()).add((place.port, place.address))
    won_before = {whose for place, whose in before.items() if place.port}
    won_before |= {
        Asker(*(getattr(each.spec.holder, name) for name in Asker._fields))
        for each in there.port_claims.values()
        if each.spec.origin == "Won"
    }
    for place, whose in followed.book.served().items():
        if place.port and whose not in won_before:
            assert followed.policies.allows(whose.namespace, place.port)
            most = followed.policies.max_ports(whose.namespace)
            others = {each for each in followed.book.served().values() if each.namespace == whose.namespace}
            if most is not None and not others & won_before:
                assert len(held[whose.namespace]) <= most


@given(st.lists(CLAIMS | PORT_CLAIMS | POLICIES, max_size=25), st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_all_replicas_decide_alike(changes: list[Change], random: Mock) -> None:
    """In whatever order what there is came to them."""
    there = Given(LIMITED)
    for change in changes:
        there.take(change)
    other = Given(LIMITED)
    for kind in ("claims", "port_claims", "namespaces"):
        items = list(getattr(there, kind).items())
        random.shuffle(items)
        setattr(other, kind, dict(items))
    one, two = there.followed(), other.followed()
    assert one.outcomes() == two.outcomes()
    assert one.book.served() == two.book.served()
    # One by one comes to the same as long as claims say who holds what.
    assert there.followed(one.book.served()).outcomes() == one.outcomes()


def test_who_comes_first_holds_and_is_named_to_the_others() -> None:
    """Distinct ports are counted; who is over the number claims nothing, so that others get what it asked for."""
    world = World(
        namespace("shop", tcp_ports_max="2"),
        namespace("other"),
        route("first", 5000, created="2020-01-01T00:00:00Z"),
        route("second", 5001, created="2021-01-01T00:00:00Z"),
        route("third", 5002, created="2022-01-01T00:00:00Z"),
        route("late", 5002, namespace="other", created="2023-01-01T00:00:00Z"),
        route("taken", 5001, created="2023-01-01T00:00:00Z"),
    )
    assert world.reason(asker("third")) is Reason.PORT_ALREADY_CLAIMED
    assert world.reason(asker("late", "other")) is None
    assert world.reason(asker("taken")) is Reason.PORT_ALREADY_CLAIMED
    world.put(route("third", 5003, created="2022-01-01T00:00:00Z"))
    assert world.reason(asker("third")) is Reason.PORT_QUOTA_EXCEEDED
    assert world.message(asker("third")) == (
        "namespace shop may hold 2 ports and holds 2: 5000 (Route shop/first), 5001 (Route shop/second)"
    )


def test_a_port_that_becomes_free_is_the_next_ones() -> None:
    """Within the namespace, and by that of others who ask for what it leaves."""
    world = World(
        namespace("shop", tcp_ports_max="1"),
        namespace("other", tcp_ports_max="1"),
        route("a", 5000, created="2020-01-01T00:00:00Z"),
        route("b", 5001, created="2021-01-01T00:00:00Z"),
        route("c", 5001, namespace="other", created="2022-01-01T00:00:00Z"),
        route("d", 5002, namespace="other", created="2023-01-01T00:00:00Z"),
    )
    assert world.reason(asker("b")) is Reason.PORT_ALREADY_CLAIMED
    assert world.reason(asker("d", "other")) is Reason.PORT_QUOTA_EXCEEDED
    world.store.delete(type(route("c", namespace="other")), route("c", namespace="other").key)
    world.put()
    assert world.reason(asker("b")) is Reason.PORT_QUOTA_EXCEEDED
    assert world.reason(asker("d", "other")) is None
    world.store.delete(type(route("a")), route("a").key)
    world.put()
    assert world.reason(asker("b")) is None


def test_a_lower_number_takes_nothing_away_unless_that_is_enforced() -> None:
    """Holders are warned; enforced, those who came last lose."""
    objects: list[KubernetesObject] = [
        namespace("shop"),
        *(route(name, port, created=f"202{port % 10}-01-01T00:00:00Z") for name, port in zip("abc", range(5000, 5003), strict=True)),
    ]  # fmt: skip
    world, enforced = World(*objects), World(*objects, settings=ENFORCED)
    for each in (world, enforced):
        each.put(namespace("shop", tcp_ports_max="1"))
    assert [world.reason(asker(name)) for name in "abc"] == [None, None, None]
    held = "namespace shop may hold 1 port and holds 3: 5000 (Route shop/a), 5001 (Route shop/b), 5002 (Route shop/c)"
    assert [world.message(asker(name)) for name in "abc"] == ["", *[f"{held}; who had it before keeps it"] * 2]
    quota = Reason.PORT_QUOTA_EXCEEDED
    assert [enforced.reason(asker(name)) for name in "abc"] == [None, quota, quota]
    world.put(namespace("shop", tcp_ports_max="3"))
    assert [world.message(asker(name)) for name in "abc"] == ["", "", ""]


@pytest.mark.parametrize("count", [200])
def test_a_namespace_over_its_number_costs_others_nothing(count: int) -> None:
    """Another namespace's port is decided alone, though somebody who is over asks for every port that there is."""
    followed = Book(SETTINGS, {})
    followed.take(namespace("y", tcp_ports_max="1"))
    for port in range(1, count):
        followed.take(claim(asker("a", f"t{port}"), port, created="2020"))
        followed.take(claim(asker(f"g{port}", "y"), port, created="2021"))
    followed.settle()
    settled = Mock(wraps=followed.book._settle_port)  # noqa: SLF001 - to count
    followed.book._settle_port = settled  # type: ignore[method-assign]  # noqa: SLF001
    followed.take(claim(asker("a", "t7"), 7, created="2019"))
    followed.settle()
    assert settled.call_count == 1
    followed.take(claim(asker("b", "t8"), 8, created="2022"))
    assert followed.settle() == {asker("b", "t8")}
    assert settled.call_count == 2


def test_what_a_namespace_asks_for_beyond_its_number_costs_little() -> None:
    """One that is over, and comes, goes or changes there, is no reason to look at the others of its namespace."""
    followed = Book(SETTINGS, {})
    followed.take(namespace("y", tcp_ports_max="2"))
    for port in range(1, 300):
        followed.take(claim(asker(f"g{port}", "y"), port, created=f"{2000 + port}"))
    followed.settle()
    lines = followed.book.ports.lines
    looked = Mock(wraps=lines.of_port)
    lines.of_port = looked  # type: ignore[method-assign]
    for change in (
        claim(asker("g9", "y"), 9, created="1990"),
        claim(asker("new", "y"), 9, created="1980"),
        asker("g9", "y"),
        claim(asker("new", "y"), 8, created="1980"),
    ):
        looked.reset_mock()
        followed.take(change)
        followed.settle()
        assert looked.call_count <= 2
        assert _reason(followed.book.outcome(asker("new", "y"))) in {None, Reason.PORT_QUOTA_EXCEEDED}
    followed.take(asker("g1", "y"))
    followed.settle()
    assert followed.book.outcome(asker("new", "y")) == ClaimOutcome()


def named(outcomes: Iterable[ClaimOutcome]) -> str:
    """Give what the first of these is told."""
    return next(each.rejection.message for each in outcomes if each.rejection is not None)


def test_many_holders_are_not_all_named() -> None:
    """A message stays short, however much a namespace may hold."""
    followed = Book(SETTINGS, {})
    followed.take(namespace("y", tcp_ports_max="20"))
    for port in range(1, 25):
        followed.take(claim(asker(f"r{port:02}", "y"), port, created=f"{2000 + port}"))
    followed.settle()
    told = followed.book.outcome(asker("r24", "y")).rejection
    assert told is not None
    assert told.message.startswith("namespace y may hold 20 ports and holds 20: 1 (Route y/r01), 2 (Route y/r02)")
    assert told.message.endswith("10 (Route y/r10) and 10 more")


def test_who_was_seen_first_here_alone_gives_way_to_whom_the_leader_let_have_it() -> None:
    """Of two that came in one second each replica lets have a port whom it saw first; a PortClaim says which it is, and no replica has both."""
    first, second = claim(asker("a", "y"), 1, created="2020"), claim(asker("b", "y"), 2, created="2020")
    followed = Book(SETTINGS, {})
    followed.take(namespace("y", tcp_ports_max="1"))
    for each in (second, first):
        followed.take(each)
        followed.settle()
    assert _reason(followed.book.outcome(first.asker)) is Reason.PORT_QUOTA_EXCEEDED
    followed.take(port_claim("p", 1, first.asker, created="2023"))
    assert {first.asker, second.asker} <= followed.settle()
    assert followed.book.outcome(first.asker) == ClaimOutcome()
    assert _reason(followed.book.outcome(second.asker)) is Reason.PORT_QUOTA_EXCEEDED
    assert list(followed.book.served().values()) == [first.asker]
    # Who held it by a PortClaim keeps it, also when that is deleted and the number is lower.
    followed.take(namespace("y", tcp_ports_max="2"))
    followed.settle()
    followed.take(port_claim("q", 2, second.asker, created="2024"))
    followed.settle()
    followed.take(namespace("y", tcp_ports_max="1"))
    followed.take("q")
    followed.settle()
    assert set(followed.book.served().values()) == {first.asker, second.asker}


def test_what_was_being_given_counts_when_it_is_claimed() -> None:
    """A port that was proposed before others were asked for by number takes the place of the last of these, while they have no PortClaims."""
    followed = Book(SETTINGS, {})
    followed.take(namespace("y", tcp_ports_max="2"))
    for name, port in (("a", 1), ("b", 2)):
        followed.take(claim(asker(name, "y"), port, created="2020"))
    followed.settle()
    followed.take(claim(asker("c", "y"), 3, created="2021"))
    followed.take(port_claim("p", 3, asker("c", "y"), created="2023"))
    followed.settle()
    assert _reason(followed.book.outcome(asker("b", "y"))) is Reason.PORT_QUOTA_EXCEEDED
    assert {each.name for each in followed.book.served().values()} == {"a", "c"}
