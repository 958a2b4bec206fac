"""What is on disk after changes that needed no reload, where a reload comes between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.haproxy.check import CheckResult
from router.level import Leveler
from router.model import Model
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings
from router.state_dir import StateDir
from tests.support.waiting import wait_for


class Interrupted:
    """A HAProxy that is asked about a configuration in the very moment in which a reload begins, the first time."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self.checks = 0

    def check(self, _config: Path) -> CheckResult:
        """Take any configuration."""
        self.checks += 1
        if self.checks == 1:
            self._state.begin_change()
        return CheckResult(accepted=True, diagnostics=(), log="")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    """A state directory."""
    made = StateDir(tmp_path / "state")
    made.open()
    yield made
    made.close()


@pytest.mark.parametrize("succeeds", [True, False])
def test_reload_that_comes_between(state: StateDir, succeeds: bool) -> None:  # noqa: FBT001 - a table's column
    """What waits to be written is dropped when a reload has written what is newer, and written when the reload came to nothing."""
    haproxy = Interrupted(state)
    level = Leveler(haproxy.check, state, quiet_s=0)
    renderer = Renderer(TemplateSet.load(None), RenderSettings(state_dir=state.path))
    try:
        level.want(renderer, Model(), check=True)
        wait_for(lambda: haproxy.checks == 1, "the file to be checked")
        if succeeds:
            level.reloaded(None)
        level.not_reloaded()
    finally:
        level.stop()
    assert state.config.exists() is not succeeds
    assert (level.on_disk is not None) is not succeeds
