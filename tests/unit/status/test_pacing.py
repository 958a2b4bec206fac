"""Whose turn it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.objects.meta import ObjectKey
from router.status.pacing import Turns, WorkQueue

_NAMESPACES = st.sampled_from("abc")
_KEYS = st.builds(ObjectKey, _NAMESPACES, st.sampled_from("wxyz"))


def test_a_namespace_with_much_work_keeps_nobody_waiting() -> None:
    """One team can make thousands of its Routes lose a port at once; what happens to another's is told next."""
    queue: WorkQueue[ObjectKey, int] = WorkQueue(lambda key: key.namespace)
    for number in range(1000):
        queue.put(ObjectKey("loud", f"r{number}"), number)
    queue.put(ObjectKey("quiet", "a"), 1)
    queue.put(ObjectKey("quiet", "b"), 2)
    popped = [queue.pop(0.0) for _ in range(6)]
    assert [str(each[0]) for each in popped if each is not None] == [
        "loud/r0",
        "quiet/a",
        "loud/r1",
        "quiet/b",
        "loud/r2",
        "loud/r3",
    ]


@given(st.lists(st.tuples(st.sampled_from(["put", "discard", "pop"]), _KEYS), max_size=60))
def test_nothing_is_lost_and_each_group_keeps_its_order(steps: list[tuple[str, ObjectKey]]) -> None:
    """Like a dict, whatever is put, taken and thrown away; and in a group what was put first comes first."""
    turns: Turns[ObjectKey, int] = Turns(lambda key: key.namespace)
    expected: dict[ObjectKey, int] = {}
    for number, (step, key) in enumerate(steps):
        if step == "put":
            turns.put(key, number)
            expected[key] = number
        elif step == "discard":
            turns.discard(key)
            expected.pop(key, None)
        elif expected:
            popped, work = turns.pop()
            assert popped == next(each for each in expected if each.namespace == popped.namespace)
            assert work == expected.pop(popped)
        assert len(turns) == len(expected)
        assert all(
            (each in turns) == (each in expected) and turns.get(each) == expected.get(each) for each in (key, *expected)
        )
