"""A mapping that is in order at all times, and what is published of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.ordered import Images, SortedMap, differences, replaced
from tests.support.counting import peak_bytes


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.text(max_size=1))), max_size=4)),
    st.integers(0, 200),
)
def test_what_changed_is_told(turns: list[list[tuple[int, str | None]]], at_once: int) -> None:
    """From one tuple of values to the next it is known what went and what came, unless that is very much; no other tuples are told of."""
    made: SortedMap[int, tuple[int, str]] = SortedMap()
    last = earlier = made.values()
    many: list[tuple[int, str | None]] = [(100 + number, "x") for number in range(at_once)]
    for turn in (*turns, many):
        for key, value in turn:
            made.put(key, (key, value) if value is not None else None)
        values = made.values()
        if values is not last:
            lost, found = differences(last, values, made.advance)
            assert made.advance is not None or len(turn) > 64
            assert sorted((set(last) - set(lost)) | set(found)) == list(values)
            assert made.advance is None or (sorted(lost), sorted(found)) == (list(lost), list(found))
            assert not {id(member) for member in lost} & {id(member) for member in values} or made.advance is None
            # Tuples that it does not lead from and to are compared.
            lost, found = differences(earlier, values, made.advance)
            assert sorted((set(earlier) - set(lost)) | set(found)) == list(values)
            last, earlier = values, last


@given(st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.text(max_size=1)))))
def test_it_is_a_sorted_dict(steps: list[tuple[int, str | None]]) -> None:
    """Whatever is put and removed: keys, values and items are in order, and what was published stays as it was."""
    made: SortedMap[int, str] = SortedMap()
    expected: dict[int, str] = {}
    published = [(made.mapping(), dict(expected))]
    for key, value in steps:
        made.put(key, value)
        if value is None:
            expected.pop(key, None)
        else:
            expected[key] = value
        published.append((made.mapping(), dict(expected)))
    for mapping, then in published:
        assert list(mapping) == sorted(then)
        assert list(mapping.items()) == sorted(then.items())
        assert list(mapping.values()) == [then[key] for key in sorted(then)]
        assert mapping == then
        assert len(mapping) == len(then)
        assert all(key in mapping and mapping[key] == value for key, value in then.items())
    assert (published[0][0] == published[-1][0]) == (not expected)
    assert made.mapping() is published[-1][0]


def test_a_change_of_one_copies_the_order_and_no_more() -> None:
    """Of tens of thousands the copy of a dict takes longer than all else that a change needs; what was published stays as it was all the same."""
    made: SortedMap[int, str] = SortedMap()
    for number in range(5_000):
        made.put(number, str(number))
    made.mapping()
    published = []
    for number in range(200):
        made.put(number, None if number % 2 else "other")
        if number < 60:
            assert peak_bytes(made.mapping) < 5_000 * 17
        published.append(made.mapping())
    for number, mapping in enumerate(published):
        there = [each for each in range(5_000) if each > number or not each % 2]
        assert list(mapping) == there
        assert (number in mapping, number + 1 in mapping) == (not number % 2, True)
        assert mapping.get(number) == (None if number % 2 else "other")
        assert mapping[number + 1] == str(number + 1)
    other = replaced(published[0], {3: "three"})
    assert (other[0], other[3], other[4], published[0][3]) == ("other", "three", "4", "3")
    assert list(other.values())[:5] == ["other", "1", "2", "three", "4"]


class _Member:
    """Equal to nothing but itself."""


_MEMBERS = tuple(_Member() for _ in range(1_100))


@given(
    st.integers(0, len(_MEMBERS)),
    st.sets(st.integers(0, len(_MEMBERS)), max_size=3),
    st.sets(st.integers(0, len(_MEMBERS)), max_size=3),
    st.sets(st.integers(0, len(_MEMBERS)), max_size=2),
)
def test_what_differs_is_found(size: int, gone: set[int], replaced: set[int], come: set[int]) -> None:
    """Members that go, come, or are others now, of few and of many: each is among what is given, and alone it is all that is given."""
    before = _MEMBERS[:size]
    after: list[_Member] = []
    for place, member in enumerate((*before, None)):
        after += [_Member()] if place in come else []
        if member is not None and place not in gone:
            after.append(_Member() if place in replaced else member)
    lost, found = differences(before, tuple(after))
    assert set(before) - set(after) <= set(lost) <= set(before)
    assert set(after) - set(before) <= set(found) <= set(after)
    if len(before) == len(after) and not gone and not come:
        assert len(lost) == len(found) == len(set(before) - set(after))
    if len(set(before) ^ set(after)) == 1:
        assert len(lost) + len(found) == 1


def test_equal_members_may_be_passed_over() -> None:
    """One that is equal and another object is no difference that has to be told."""
    before = tuple(str(number) for number in range(600))
    after = tuple(f"{number}" for number in range(600))
    assert before is not after
    lost, found = differences(before, after)
    assert all(one == other for one, other in zip(lost, found, strict=True))


@given(
    st.lists(
        st.tuples(
            st.sets(st.integers(0, len(_MEMBERS)), max_size=3),
            st.sets(st.integers(0, len(_MEMBERS)), max_size=2),
            st.integers(0, 2),
        ),
        max_size=6,
    )
)
def test_images_are_those_of_all_members(steps: list[tuple[set[int], set[int], int]]) -> None:
    """Whatever goes, comes and is another: the images are in order, and none is made twice of one that stayed."""
    asked: list[_Member] = []

    def of(member: _Member) -> tuple[_Member]:
        asked.append(member)
        return (member,)

    images, members = Images(of), _MEMBERS
    before = dict(zip(members, images(members), strict=True))
    for gone, come, kept in steps:
        asked.clear()
        after = [each for place, each in enumerate(members) if place not in gone or place % 3 == kept]
        for place in come:
            after.insert(place, _Member())
        found = images(tuple(after))
        assert [each for (each,) in found] == after
        assert set(asked) == set(after) - set(members)
        assert all(image is before[each] for each, image in zip(after, found, strict=True) if each in before)
        assert images(tuple(after)) is found
        members, before = tuple(after), dict(zip(after, found, strict=True))


def test_what_shifts_is_no_difference() -> None:
    """As many members as before, one gone at the beginning and one more at the end: of the many between them none is other."""
    members = tuple(object() for _ in range(300))
    assert differences(members[:-1], members[1:]) == (members[:1], members[-1:])
