"""Which verdicts differ between two turns: found, and found once for all who are told of a turn."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission.verdicts import Verdict, different
from router.model import Asker
from router.ordered import SortedMap, different_values

_ASKERS = [Asker.route("team", f"app-{number}") for number in range(6)]


def _verdict(number: int, port: int) -> Verdict:
    return Verdict(asker=_ASKERS[number], port=port)


@given(st.lists(st.dictionaries(st.integers(0, 5), st.integers(1, 2), max_size=6), min_size=2, max_size=6))
def test_all_that_differ_are_given(turns: list[dict[int, int]]) -> None:
    """By what they are, those that came and went too; whatever was asked for before."""
    verdicts: SortedMap[Asker, Verdict] = SortedMap()
    former, before = verdicts.mapping(), dict[int, int]()
    for ports in turns:
        for number in range(len(_ASKERS)):
            verdicts.put(_ASKERS[number], _verdict(number, ports[number]) if number in ports else None)
        current = verdicts.mapping()
        expected = tuple(asker for number, asker in enumerate(_ASKERS) if before.get(number) != ports.get(number))
        assert different(former, current) == expected
        assert different(former, current) == expected
        assert different(dict(former), current) == expected
        former, before = current, ports


def test_several_who_ask_cost_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log, PortClaims and statuses are told of each turn, with thousands of verdicts."""
    looks: list[int] = []

    def looked(
        before: Mapping[Asker, Verdict], after: Mapping[Asker, Verdict]
    ) -> tuple[tuple[Verdict, ...], tuple[Verdict, ...]]:
        looks.append(len(after))
        return different_values(before, after)

    monkeypatch.setattr("router.admission.verdicts.different_values", looked)
    verdicts: SortedMap[Asker, Verdict] = SortedMap()
    verdicts.put(_ASKERS[0], _verdict(0, 1))
    before = verdicts.mapping()
    verdicts.put(_ASKERS[1], _verdict(1, 1))
    after = verdicts.mapping()
    assert [different(before, after) for _ in range(3)] == [(_ASKERS[1],)] * 3
    assert looks == [2]
    assert different(after, before) == (_ASKERS[1],)
    assert looks == [2, 1]
