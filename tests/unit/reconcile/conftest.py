"""What the tests of the controller share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.stage import AT_ONCE, NEVER_AGAIN, Stage


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    """Collect log lines instead of printing them."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage on which everything is tried again at once, except Routes that HAProxy refused."""
    stage = Stage(tmp_path, AT_ONCE)
    yield stage
    stage.close()


@pytest.fixture
def slow_stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage on which nothing is done a second time."""
    stage = Stage(tmp_path, NEVER_AGAIN)
    yield stage
    stage.close()
