"""What the tests with a real HAProxy share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.settings import RenderSettings


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A folder with a path short enough for sockets; odd in itself, so that every test is one of quoting too."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / """it's "a" (dir) #1"""


@pytest.fixture
def settings(state_dir: Path) -> RenderSettings:
    """Settings as by default, elsewhere."""
    return RenderSettings(state_dir=state_dir)
