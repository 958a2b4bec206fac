"""The garbage collector's settings over the life of a router."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator

import pytest

from router.cli import memory


@pytest.fixture(autouse=True)
def _collector_as_before() -> Iterator[None]:
    """Leave the collector as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_the_collector_is_patient_at_first_and_leaves_alone_what_stays() -> None:
    """While everything is read it hardly looks; afterwards it looks at what is new alone."""
    memory.begin()
    memory.expect_many_objects()
    at_first = gc.get_threshold()[0]
    memory.settle()
    assert 0 < gc.get_threshold()[0] < at_first
    assert gc.get_freeze_count() > 0


def test_another_c_library_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no malloc_trim, memory stays with the process, and nothing else happens."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    memory.settle()
