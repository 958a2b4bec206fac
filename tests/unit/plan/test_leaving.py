"""Servers that leave: by backend what a plain dict would have, and nothing looks at those of other backends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.plan.leaving import Leaving, LeavingDraft, ServerName
from router.plan.section_text import ServerLine

_NAMES = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"))


def _line(weight: int = 1) -> ServerLine:
    return ServerLine("10.0.0.1:80", weight, 0, ())


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.dictionaries(_NAMES, st.builds(_line, st.integers(0, 3)), max_size=3)),
        st.tuples(st.just("back"), st.sets(_NAMES, max_size=2)),
        st.tuples(st.just("try"), st.dictionaries(_NAMES, st.builds(_line), max_size=2)),
        st.tuples(st.just("gone"), st.sets(_NAMES, max_size=3)),
    ),
    max_size=8,
)


@given(_STEPS)
def test_it_is_a_dict_of_those_that_leave(steps: list[tuple[str, object]]) -> None:
    """Whatever came, was taken back, was tried in vain, or is gone; and no former value ever changes."""
    leaving, expected = Leaving(), dict[ServerName, ServerLine]()
    for what, arguments in steps:
        before, former = leaving, dict(expected)
        draft = LeavingDraft(leaving)
        if what == "gone":
            assert isinstance(arguments, set)
            leaving = leaving.without(arguments)
            expected = {name: line for name, line in expected.items() if name not in arguments}
        elif isinstance(arguments, set):
            some = [name for name in arguments if name in expected]
            draft.take_back(some)
            leaving = draft.done()
            expected = {name: line for name, line in expected.items() if name not in some}
        else:
            assert isinstance(arguments, dict)
            kept = draft.kept()
            draft.add(arguments)
            if what == "try":
                draft.restore(kept)
                assert draft.done() is leaving
            else:
                expected |= arguments
            leaving = draft.done()
        assert leaving == expected
        assert (len(leaving), bool(leaving)) == (len(expected), bool(expected))
        assert before == former
        for backend in "abc":
            assert dict(leaving.of(backend)) == dict(draft.of(backend) if what != "gone" else leaving.of(backend))
            assert dict(leaving.of(backend)) == {name: line for (of, name), line in expected.items() if of == backend}


def test_a_change_of_one_backend_looks_at_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of connections that last for days may each hold a server that is gone."""
    leaving = Leaving({(f"be{number}", "x"): _line() for number in range(1_000)})

    def fail(_: Leaving) -> Iterator[ServerName]:
        raise AssertionError("all of them were looked at")

    monkeypatch.setattr(Leaving, "__iter__", fail)
    draft = LeavingDraft(leaving)
    draft.add({("be7", "y"): _line()})
    draft.take_back([("be8", "x")])
    after = draft.done()
    assert (set(after.of("be7")), set(after.of("be8")), len(after)) == ({"x", "y"}, set(), 1_000)
    assert after.of("be9") is leaving.of("be9")
