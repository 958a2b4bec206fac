"""Chaos on a whole router: after each calm it serves what the objects say, and nothing is left over (``scripts/chaos``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.chaos.disasters import DISASTERS
from tests.support.chaos.pairs import DISASTERS as OF_PAIRS
from tests.support.chaos.pairs import run_pairs
from tests.support.chaos.run import report, run

SEED = 20_261_121


@pytest.mark.timeout(600)
def test_chaos(tmp_path: Path) -> None:
    """Every kind of disaster in the midst of random changes, in an order that is always the same."""
    found = run(tmp_path, SEED, lambda number: number < len(DISASTERS), say=lambda _: None)
    assert not found.problem, report(found, tmp_path)
    assert found.connections > 0
    assert found.looks_at_held > 0


@pytest.mark.timeout(600)
def test_chaos_between_two_clusters(tmp_path: Path) -> None:
    """Every kind of disaster that two API servers and a pair can have, in the midst of claims that change and come and go."""
    found = run_pairs(tmp_path, SEED, lambda number: number < len(OF_PAIRS), say=lambda _: None)
    assert not found.problem, "\n".join([*found.did, found.problem])
    assert found.rounds == len(OF_PAIRS)
