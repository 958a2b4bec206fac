"""Few members take little memory, and many are not copied with each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.cluster.members import Members, with_member, without_member
from router.objects.meta import ObjectKey


@given(st.lists(st.integers(0, 40), max_size=120))
def test_members_are_a_set(numbers: list[int]) -> None:
    """Each number comes, or goes if it is there."""
    members: Members = ()
    expected: dict[int, None] = {}
    for number in numbers:
        key = ObjectKey("team", str(number))
        if number in expected:
            del expected[number]
            members = without_member(members, key)
        else:
            expected[number] = None
            members = with_member(members, key)
        assert sorted(members) == sorted(ObjectKey("team", str(each)) for each in expected)
        assert bool(members) == bool(expected)


def test_many_members_stay_the_object_that_they_are() -> None:
    """A Service with thousands of slices: another one more or less copies none of them."""
    members: Members = ()
    for number in range(17):
        members = with_member(members, ObjectKey("team", str(number)))
    assert with_member(members, ObjectKey("team", "more")) is members
    assert without_member(members, ObjectKey("team", "0")) is members
