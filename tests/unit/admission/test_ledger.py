"""Who holds a place, and for whom it is reserved, by PortClaims."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission.journal import Touched
from router.admission.ledger import Ledger, Reason, Standing
from router.admission.places import SNI, Place
from router.model import Asker
from router.objects.meta import ObjectMeta
from router.objects.portclaim import ClaimHolder, Origin, PortClaim, PortClaimSpec

DB = Asker.route("shop", "db", "uid-db")
WEB = Asker.route("shop", "web", "uid-web")
BILLING = Asker.route("billing", "db", "uid-billing")
EARLY, LATE = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"


def holder(asker: Asker) -> ClaimHolder:
    """Give an asker as a claim has it."""
    return ClaimHolder(asker.group, asker.kind, asker.namespace, asker.name, asker.section, asker.uid)


def claim(
    name: str = "a",
    port: int = 15432,
    held_by: ClaimHolder | Asker | None = DB,
    *,
    origin: Origin = "Won",
    host: str = "",
    end: int | None = None,
    created: str | None = EARLY,
    generation: int = 1,
    ledger: str = "tcp-router",
    address: str = "",
) -> PortClaim:
    """Make a claim."""
    return PortClaim(
        ObjectMeta(name=name, namespace="openshift-ingress", creation_timestamp=created, generation=generation),
        PortClaimSpec(
            ledger=ledger,
            port=port,
            origin=origin,
            address=address,
            port_end=end,
            host=host,
            holder=holder(held_by) if isinstance(held_by, Asker) else held_by,
        ),
    )


def reserved(name: str = "keep", port: int = 15432, held_by: ClaimHolder | None = None, **more: object) -> PortClaim:
    """Make a reservation, for nobody unless told otherwise."""
    return claim(name, port, held_by, origin="Reserved", **more)  # type: ignore[arg-type]  # passed on


def ledger_of(*claims: PortClaim) -> Ledger:
    """Make a ledger with these claims."""
    ledger = Ledger("tcp-router")
    for each in claims:
        ledger.put(each.metadata.name, each)
    return ledger


def test_who_won_holds_it() -> None:
    """The holder of a claim, by its uid; of several claims the oldest counts, and the others are told by which."""
    ledger = ledger_of(claim("late", held_by=WEB, created=LATE), claim("early"), claim("none", created=None))
    (hold,) = ledger.holds(15432)
    assert (hold.asker, hold.claim, hold.place) == (DB, "early", Place(15432))
    assert ledger.standing("early") == Standing(Reason.IN_FORCE)
    assert ledger.standing("late") == ledger.standing("none") == Standing(Reason.OVERRULED, "early")
    assert ledger.bars(Place(15432), WEB) is None


@pytest.mark.parametrize(("whole", "hosts"), [(EARLY, LATE), (LATE, EARLY), (EARLY, EARLY)], ids=str)
def test_a_port_is_whole_or_shared(whole: str, hosts: str) -> None:
    """Two leaders write under different names that somebody has a port whole, and others hosts on it: the first counts, of one second by whose it is."""
    ledger = ledger_of(
        claim("whole", held_by=DB, created=whole),
        claim("x", held_by=WEB, host="x.example.com", created=hosts),
        claim("y", held_by=WEB, host="y.example.com", created=LATE),
    )
    if whole == EARLY:
        assert ledger.standing("whole") == Standing(Reason.IN_FORCE)
        assert ledger.standing("x") == ledger.standing("y") == Standing(Reason.OVERRULED, "whole")
    else:
        assert ledger.standing("whole") == Standing(Reason.OVERRULED, "x")
        assert ledger.standing("x") == ledger.standing("y") == Standing(Reason.IN_FORCE)


def test_who_comes_to_have_a_port_in_another_way_overrules_nobody() -> None:
    """A Route that had the port whole and comes to share it has both claims, until the former is given up."""
    ledger = ledger_of(claim("whole"), claim("x", host="x.example.com", created=LATE))
    assert ledger.standing("whole") == ledger.standing("x") == Standing(Reason.IN_FORCE)


def test_claims_of_other_ledgers_are_nothing() -> None:
    """Routers that divide the Routes of one name by labels have a ledger each."""
    ledger = ledger_of(claim("other", ledger="tcp-router-b"))
    assert ledger.holds(15432) == ()
    assert ledger.standing("other") is None


def test_a_port_of_one_address_is_another_place() -> None:
    """Each address has a holder of its own; a reservation bars who asks for the port there, or on all addresses that overlap with it."""
    ledger = Ledger("tcp-router", ("inside",))
    for each in (
        claim("a", address="inside"),
        claim("b", held_by=WEB, address="outside"),
        reserved("c", 25, address="inside"),
    ):
        ledger.put(each.metadata.name, each)
    assert [(hold.asker, hold.place) for hold in ledger.holds(15432)] == [
        (DB, Place(15432, "", "inside")),
        (WEB, Place(15432, "", "outside")),
    ]
    assert ledger.hold(Place(15432)) is None
    assert ledger.bars(Place(25), DB) is not None
    assert ledger.bars(Place(25, "", "inside"), DB) is not None
    assert ledger.bars(Place(25, "", "outside"), DB) is None


def test_a_reserved_range_of_all_addresses_bars_those_that_overlap() -> None:
    """And a range of one address bars nobody on another one."""
    ledger = Ledger("tcp-router", ("inside",))
    ledger.put("a", reserved("a", 100, end=200))
    ledger.put("b", reserved("b", 300, end=400, address="outside"))
    barred = {
        (port, address): ledger.bars(Place(port, "", address), DB) is not None
        for port in (150, 350)
        for address in ("", "inside", "outside")
    }
    assert [place for place, is_barred in barred.items() if is_barred] == [(150, ""), (150, "inside"), (350, "outside")]


def test_a_claim_that_somebody_changed_says_nothing() -> None:
    """The API server counts the changes of a spec; the leader makes the claim anew, and until then each replica serves on."""
    ledger = ledger_of(claim(generation=2, held_by=BILLING))
    assert ledger.holds(15432) == ()
    assert ledger.standing("a") == Standing(Reason.CHANGED)


@pytest.mark.parametrize(
    ("held_by", "allowed"),
    [
        (None, []),
        (ClaimHolder(), []),
        (ClaimHolder(namespace="shop"), [DB, WEB]),
        (ClaimHolder(kind="Route", namespace="shop", name="db"), [DB]),
        (ClaimHolder(kind="Service", namespace="shop", name="db"), []),
        (ClaimHolder(group="example.com", kind="Route", namespace="shop", name="db"), []),
        (ClaimHolder(kind="Route", namespace="shop", name="db", uid="of a former one"), [DB]),
    ],
)
def test_whom_a_reservation_lets_in(held_by: ClaimHolder | None, allowed: list[Asker]) -> None:
    """Nobody, a namespace, or an object by its name; and it goes before what was won."""
    ledger = ledger_of(claim(held_by=BILLING), reserved(held_by=held_by, created=LATE))
    place = Place(15432)
    assert [each for each in (DB, WEB, BILLING) if ledger.bars(place, each) is None] == allowed
    assert ledger.standing("a") == Standing(Reason.OVERRULED, "keep")
    assert ledger.standing("keep") == Standing(Reason.IN_FORCE)


def test_a_reservation_of_a_port_is_one_of_its_hosts_too() -> None:
    """Who asks for a host on a port needs the word of both."""
    ledger = ledger_of(
        reserved("port", held_by=ClaimHolder(namespace="shop")),
        reserved("host", held_by=ClaimHolder(kind="Route", namespace="shop", name="web"), host="*.example.com"),
    )
    assert ledger.bars(Place(15432, ".example.com"), WEB) is None
    bar = ledger.bars(Place(15432, ".example.com"), DB)
    assert bar is not None
    assert str(bar) == "Route shop/web by PortClaim host"
    assert ledger.bars(Place(15432, "db.example.com"), DB) is None
    bar = ledger.bars(Place(15432, "db.example.com"), BILLING)
    assert bar is not None
    assert str(bar) == "namespace shop by PortClaim port"
    assert ledger.bars(Place(SNI, "db.example.com"), BILLING) is None


def test_ranges() -> None:
    """A range is a reservation of each of its ports; where several meet, the oldest counts."""
    shop, billing = ClaimHolder(namespace="shop"), ClaimHolder(namespace="billing")
    ledger = ledger_of(
        reserved("wide", 15000, shop, end=15999, created=LATE),
        reserved("old", 15500, billing, end=15599),
        reserved("young", 15500, None, created="2026-01-01T00:00:00Z"),
        reserved("inside", 15510, None, end=15520, created="2026-01-01T00:00:00Z"),
    )
    counting = {
        port: [each.claim for each in ledger.reservations(Place(port))]
        for port in (14999, 15000, 15499, 15500, 15599, 15600, 15999)
    }
    assert [port for port, names in counting.items() if names == ["wide"]] == [15000, 15499, 15600, 15999]
    assert [port for port, names in counting.items() if names == ["old"]] == [15500, 15599]
    assert ledger.reservations(Place(16000)) == ledger.reservations(Place(14999)) == ()
    assert ledger.standing("wide") == ledger.standing("old") == Standing(Reason.IN_FORCE)
    assert ledger.standing("young") == ledger.standing("inside") == Standing(Reason.OVERRULED, "old")


def test_what_a_change_touches() -> None:
    """The port or host that it is of, and all of a range; nothing where a claim of another ledger changes."""
    ledger = ledger_of(claim(), claim("host", SNI, host="*.example.com"), reserved("range", 15000, end=15010))
    touched = ledger.take_touched()
    places = frozenset({Place(15432), Place(SNI, ".example.com")})
    names = frozenset({"a", "host", "range"})
    assert touched == Touched(frozenset({15432}), frozenset({".example.com"}), ((15000, 15010),), places, names)
    ledger.put("other", claim("other", ledger="another"))
    assert ledger.take_touched() == Touched()
    ledger.put("range", reserved("range", 15005, end=15020))
    assert ledger.take_touched().ranges == ((15000, 15010), (15005, 15020))
    ledger.put("a", None)
    assert ledger.take_touched().ports == {15432}


PORTS = st.integers(1, 6)
HOLDERS = st.sampled_from([DB, WEB, BILLING])
TIMES = st.sampled_from([EARLY, LATE, None])
CLAIMS = st.one_of(
    st.builds(
        claim,
        st.sampled_from("abcd"),
        PORTS,
        HOLDERS,
        host=st.sampled_from(["", "x.example.com", "*.example.com"]),
        created=TIMES,
        generation=st.sampled_from([1, 1, 2]),
        ledger=st.sampled_from(["tcp-router", "tcp-router", "other"]),
    ),
    st.builds(
        reserved,
        st.sampled_from("abcd"),
        PORTS,
        st.sampled_from([None, ClaimHolder(namespace="shop"), ClaimHolder(kind="Route", namespace="shop", name="db")]),
        created=TIMES,
        end=st.none() | st.integers(6, 8),
    ),
)


@given(st.lists(CLAIMS | st.sampled_from("abcd"), max_size=12))
def test_each_change_gives_what_a_new_ledger_gives(changes: list[PortClaim | str]) -> None:
    """Whatever came, changed and went before; and what may be another is among what was touched."""
    ledger, current = Ledger("tcp-router"), dict[str, PortClaim]()
    places = [Place(port, host) for port in range(9) for host in ("", "x.example.com", ".example.com")]
    before: Mapping[Place, object] = dict.fromkeys(places, ((), None))
    for change in changes:
        name = change if isinstance(change, str) else change.metadata.name
        ledger.put(name, None if isinstance(change, str) else change)
        current.pop(name, None)
        if not isinstance(change, str):
            current[name] = change
        fresh = ledger_of(*(current[each] for each in sorted(current)))
        after = {place: (ledger.reservations(place), ledger.hold(place)) for place in places}
        assert after == {place: (fresh.reservations(place), fresh.hold(place)) for place in places}
        assert all(ledger.holds(port) == fresh.holds(port) for port in range(9))
        assert all(ledger.standing(each) == fresh.standing(each) for each in "abcd")
        touched = ledger.take_touched()
        for place in places:
            if after[place] != before[place]:
                assert (
                    place.port in touched.ports
                    or place.host in touched.hosts
                    or any(low <= place.port <= high for low, high in touched.ranges)
                )
        before = after


def test_who_follows_is_told_apart() -> None:
    """Of all changes from then on, however often others ask for what was touched."""
    ledger = ledger_of(claim())
    journal = ledger.follow()
    ledger.take_touched()
    assert journal.take() == Touched()
    ledger.put("a", None)
    ledger.put("b", claim("b", 7000))
    ledger.take_touched()
    touched = journal.take()
    assert touched.places == {Place(15432), Place(7000)}
    assert touched.names == {"a", "b"}
    assert journal.take() == Touched()


def test_who_begins_anew_forgets_what_is_gone() -> None:
    """It may not have been told; what is there stays as it is, and nobody is troubled for it."""
    ledger = ledger_of(claim(), claim("b", 7000))
    ledger.take_touched()
    ledger.keep({"a"})
    assert list(ledger.names()) == ["a"]
    assert ledger.take_touched().places == {Place(7000)}


def test_a_change_costs_nothing_for_other_claims() -> None:
    """A change of one among ten thousand claims takes the calls that it takes among ten."""

    def calls(claims: int) -> int:
        ledger = ledger_of(*(claim(f"c{port}", port) for port in range(1, claims + 1)))
        ledger.take_touched()
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        sys.setprofile(count)
        try:
            ledger.put("c5", None)
            ledger.put("c5", claim("c5", 5))
            ledger.take_touched()
            ledger.holds(5)
        finally:
            sys.setprofile(None)
        return counted

    assert calls(10_000) == calls(10)


@pytest.mark.parametrize(
    ("everywhere", "inside", "other", "in_force"),
    [
        pytest.param("2024", "2025", None, {"everywhere"}, id="all addresses first"),
        pytest.param("2025", "2024", None, {"inside"}, id="one address first"),
        pytest.param("2025", "2024", "2026", {"inside", "other"}, id="another one, too, though it came later than all of them"),
        pytest.param("2024", "2025", "2026", {"everywhere"}, id="all addresses before two"),
        pytest.param(None, "2025", "2024", {"inside", "other"}, id="two addresses"),
    ],
)  # fmt: skip
def test_a_port_of_all_addresses_or_of_some(
    everywhere: str | None, inside: str | None, other: str | None, in_force: set[str]
) -> None:
    """Two leaders write under different names that somebody has a port of all addresses, and others that of one: the first counts."""
    ledger = Ledger("tcp-router", ("inside", "other"))
    holders = {
        "everywhere": (everywhere, "", DB),
        "inside": (inside, "inside", WEB),
        "other": (other, "other", BILLING),
    }
    for name, (created, address, held_by) in holders.items():
        if created is not None:
            ledger.put(name, claim(name, held_by=held_by, created=f"{created}-01-01T00:00:00Z", address=address))
    ledger.put("outside", claim("outside", held_by=BILLING, created=LATE, address="outside"))
    standing = {name: ledger.standing(name) for name in ledger.names()}
    assert {name for name, each in standing.items() if each == Standing(Reason.IN_FORCE)} == {*in_force, "outside"}
