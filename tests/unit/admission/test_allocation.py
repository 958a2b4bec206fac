"""Which port those get who ask for any: the hash, and the next free one; without a router."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission.allocation import Choice, Terms, digest, first_choice, next_free, port_bits, ports_of, propose
from router.model import Asker
from router.settings import PortRanges

PORTS = PortRanges(((20_000, 20_009), (30_000, 30_004)))
ANY = st.frozensets(st.integers(1, 65_535), max_size=40)


def asker(number: int, namespace: str = "shop") -> Asker:
    """Make a Route that asks."""
    return Asker.route(namespace, f"r{number}", f"uid-{number}")


def from_ports(_asker: Asker) -> PortRanges:
    """Give what there is to choose from."""
    return PORTS


def everything(_asker: Asker) -> Terms:
    """Let everybody have all ports."""
    return Terms()


def nothing(_asker: Asker) -> int | None:
    """Let nobody prefer a port."""
    return None


@given(ANY)
def test_sets_of_ports_are_the_same_as_bits(ports: frozenset[int]) -> None:
    """Back and forth, in ranges that are sorted and have gaps between them."""
    ranges = ports_of(port_bits(PortRanges.of(*ports)))
    assert set(ranges) == ports
    assert all(last + 1 < first for (_, last), (first, _) in zip(ranges.ranges, ranges.ranges[1:], strict=False))


@given(ANY, st.integers(1, 65_535))
def test_the_next_free_port_is_the_first_from_there_on(free: frozenset[int], start: int) -> None:
    """And from the lowest on, after the highest."""
    expected = min(free, key=lambda port: (port < start, port), default=None)
    assert next_free(port_bits(PortRanges.of(*free)), start) == expected


def test_the_hash_is_that_of_kind_namespace_name_and_section() -> None:
    """It is written here, as every version must have the same; what is made again has the same, too."""
    db = Asker.route("shop", "db", "one")
    assert digest(db) == digest(db._replace(uid="two")) == 11_443_785_853_164_849_864
    assert len({digest(db), digest(db._replace(section="pg")), digest(db._replace(kind="Service"))}) == 3
    assert first_choice(db, PORTS) == first_choice(db._replace(uid="two"), PORTS)


@given(st.integers(0, 10_000))
def test_the_first_choice_is_one_of_the_ports(number: int) -> None:
    """Of whichever range."""
    assert first_choice(asker(number), PORTS) in PORTS


def test_there_is_nothing_to_choose_without_ports() -> None:
    """Who asks all the same is told."""
    with pytest.raises(ValueError, match="no port"):
        first_choice(asker(1), PortRanges(()))


def test_choices_are_spread() -> None:
    """Of 1,000 askers among 10,000 ports few meet: what each gets then hardly depends on the others."""
    ports = PortRanges(((20_000, 29_999),))
    assert len({first_choice(asker(number), ports) for number in range(1000)}) > 930


def test_no_two_get_one_port_and_each_its_first_choice_where_it_is_free() -> None:
    """In the order in which they wait, until none is left; who comes later than that gets none."""
    line = [asker(number) for number in range(20)]
    chosen = propose(line, from_ports, port_bits(PORTS), everything, nothing)
    given_out = [port for port, _ in chosen.values() if port is not None]
    assert sorted(given_out) == list(PORTS)
    assert [chosen[each] for each in line[15:]] == [Choice()] * 5
    assert chosen[line[0]].port == first_choice(line[0], PORTS)


def test_a_namespace_gets_what_it_may_have_alone() -> None:
    """What others may not have is left to it, and who may have nothing gets nothing."""
    terms = {"shop": Terms(port_bits(PortRanges.of(20_003))), "none": Terms(0)}
    line = [asker(1, "none"), asker(1), asker(2)]
    chosen = propose(line, from_ports, port_bits(PORTS), lambda each: terms[each.namespace], nothing)
    assert chosen == {line[0]: Choice(), line[1]: Choice(20_003), line[2]: Choice()}


def test_a_namespace_gets_as_many_as_it_may_have() -> None:
    """The first of those who wait; what the others would have got is left to other namespaces."""
    line = [asker(1), asker(2), asker(3), asker(4, "other")]
    chosen = propose(
        line, from_ports, port_bits(PORTS), lambda each: Terms(room=2 if each.namespace == "shop" else None), nothing
    )
    assert [chosen[each].is_over for each in line] == [False, False, True, False]
    assert [chosen[each].port is None for each in line] == [False, False, True, False]


def test_what_was_ones_own_is_preferred() -> None:
    """It takes nothing from the others."""
    one, other = asker(1), asker(2)
    free = port_bits(PORTS) & ~(1 << 30_004)
    assert propose([one, other], from_ports, free, everything, {one: 30_004}.get)[one] == Choice(30_004)


@given(st.lists(st.integers(0, 50), unique=True, max_size=16), ANY)
def test_who_got_what_was_chosen_for_it_leaves_to_others_what_was_chosen_for_them(
    numbers: list[int], taken: frozenset[int]
) -> None:
    """So claims may be written one after the other, in whatever order, and nobody has to be chosen for again."""
    line = [asker(number) for number in numbers]
    free = port_bits(PORTS) & ~port_bits(PortRanges.of(*taken))
    chosen = propose(line, from_ports, free, everything, nothing)
    for each in line:
        port = chosen[each].port
        if port is not None:
            left = [other for other in line if other != each]
            again = propose(left, from_ports, free & ~(1 << port), everything, nothing)
            assert again == {other: chosen[other] for other in left}


def test_a_thousand_among_all_ports_take_milliseconds() -> None:
    """Whatever is taken: half of all ports are, here."""
    ports = PortRanges(((1024, 65_535),))
    free = port_bits(ports) & sum(1 << port for port in range(0, 65_536, 2))
    line = [asker(number) for number in range(1000)]
    began_s = time.perf_counter()
    assert len(set(propose(line, lambda _: ports, free, everything, nothing).values())) == 1000
    assert time.perf_counter() - began_s < 0.5
