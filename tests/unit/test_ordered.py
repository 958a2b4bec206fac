"""A mapping that is in order at all times, and what is published of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.ordered import SortedMap


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
