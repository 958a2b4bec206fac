"""haproxy.cfg is brought level after runtime changes: what is written, what is not, and that nothing is lost or left."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import structlog

from router.errors import HaproxyUnreachable
from router.haproxy.process.check import CheckResult
from router.model import Model, Spot
from router.plan.running import loaded
from router.reconcile.judge import Judge
from router.reconcile.level import Leveler
from router.reconcile.state_dir import StateDir
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings
from tests.support.models import section, server, shared
from tests.support.waiting import wait_for

_ONE = Model((section("one", 7001, server(1)),))
_TWO = Model((*_ONE.routes, section("two", 7002, server(2))), (shared(8443, {"one": _ONE.routes[0]}),))


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    """Collect log lines instead of printing them."""
    with structlog.testing.capture_logs() as lines:
        yield lines


class Disk:
    """A state directory, a leveler on it, and a HAProxy that judges as it is told."""

    def __init__(self, directory: Path) -> None:
        self.state = StateDir(directory / "state")
        self.state.open()
        self.renderer = Renderer(TemplateSet.load(), RenderSettings(state_dir=self.state.path))
        self.refused = ""
        self.checked: list[str] = []
        self.error: HaproxyUnreachable | None = None
        self.may_check = threading.Event()
        self.may_check.set()
        self.level = Leveler(Judge(self.check, self.state), self.state, quiet_s=0)

    def check(self, path: Path) -> CheckResult:
        """Judge, when it may."""
        text = path.read_text()
        self.checked.append(text)
        assert self.may_check.wait(20)
        if self.error is not None:
            raise self.error
        accepted = not self.refused or self.refused not in text
        return CheckResult(accepted=accepted, diagnostics=(), log="[ALERT] something\n is wrong")

    def want(self, model: Model, *, check: bool = False) -> None:
        """Have a model on disk."""
        self.level.want(self.renderer, lambda: model, check=check)

    def text(self) -> str:
        """Give what is on disk."""
        return self.state.config.read_text() if self.state.config.exists() else ""

    def wait_for(self, words: str) -> None:
        """Wait until these are on disk."""
        wait_for(lambda: words in self.text(), f"{words} on disk")

    def reload(self, model: Model) -> None:
        """Have a reload write a model."""
        self.state.begin_change()
        rendered = self.renderer.render(model)
        self.state.write_candidate(rendered.config, rendered.files)
        self.state.promote()
        self.level.reloaded(loaded(model, {}, self.renderer.owners_file))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk, with no thread left after the test."""
    disk = Disk(tmp_path)
    yield disk
    disk.may_check.set()
    disk.level.stop()
    disk.state.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "level"] == []


def test_changes_reach_the_disk(disk: Disk) -> None:
    """The file is what a reload would have written, with its maps, and what a HAProxy has that starts with it is known."""
    disk.want(_TWO, check=True)
    wait_for(lambda: disk.level.on_disk is not None, "the file to be in force")
    rendered = disk.renderer.render(_TWO)
    assert disk.state.config.read_bytes() == rendered.config
    assert disk.state.config_is_ours
    assert {path.name for path in (disk.state.path / "maps").iterdir()} == set(rendered.files)
    assert len(disk.checked) == 1
    assert disk.level.on_disk == loaded(
        _TWO, {Spot(8443): disk.renderer.hosts_file(_TWO.shared[0])}, disk.renderer.owners_file
    )


def test_what_haproxy_took_before_is_not_judged_again(disk: Disk) -> None:
    """Of many sections one is new: that one is judged, beside the global part, and the file has all."""
    many = tuple(section(f"r{number:02}", 7100 + number, server(1)) for number in range(20))
    disk.want(Model(many), check=True)
    disk.wait_for("team:r19")
    disk.want(Model((*many, section("s", 7200, server(1)))), check=True)
    disk.wait_for("team:s")
    disk.want(Model(many), check=True)
    wait_for(lambda: "team:s" not in disk.text(), "the file without it")
    assert [re.findall("^backend (.*) from routes$", text, re.MULTILINE)[-1] for text in disk.checked] == [
        "be_tcp:team:r19",
        "be_tcp:team:s",
    ]
    assert disk.checked[1].count("\nbackend be_tcp:") == 1
    assert "be_tcp:team:r00" in disk.text()


def test_with_templates_of_the_admins_the_whole_is_judged(disk: Disk, tmp_path: Path) -> None:
    """They may make sections that do not go together, and nothing loads what is written here until HAProxy starts on it."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "_more.j2").write_text("")
    disk.renderer = Renderer(TemplateSet.load(tmp_path / "templates"), RenderSettings(state_dir=disk.state.path))
    many = tuple(section(f"r{number:02}", 7100 + number, server(1)) for number in range(20))
    disk.want(Model(many), check=True)
    disk.wait_for("team:r19")
    disk.want(Model((*many, section("s", 7200, server(1)))), check=True)
    disk.wait_for("team:s")
    assert [text.count("\nbackend be_tcp:") for text in disk.checked] == [20, 21]


def test_other_servers_need_no_check(disk: Disk) -> None:
    """HAProxy is not asked about a file that differs in servers only."""
    disk.want(_ONE)
    disk.wait_for("team:one")
    assert disk.checked == []


def test_refused_file_is_not_used(disk: Disk, logged: list[structlog.typing.EventDict]) -> None:
    """What is on disk stays; it is told once, on one line, with HAProxy's words."""
    disk.want(_ONE)
    disk.wait_for("team:one")
    disk.refused = "team:two"
    disk.want(_TWO, check=True)
    wait_for(lambda: logged, "a log line")
    assert "team:two" not in disk.text()
    assert [line["event"] for line in logged] == ["configuration on disk not level"]
    assert logged[0]["problem"] == "HAProxy refuses it: [ALERT] something is wrong"
    assert disk.level.on_disk is not None
    assert disk.level.on_disk.model is _ONE


def test_what_was_refused_is_judged_again_with_what_came_after_it(disk: Disk) -> None:
    """A change of servers that arrives while HAProxy judges does not carry what it refuses past it."""
    disk.want(_ONE)
    disk.wait_for("team:one")
    disk.refused = "team:two"
    disk.may_check.clear()
    disk.want(_TWO, check=True)
    wait_for(lambda: disk.checked, "the check")
    disk.want(_TWO)
    disk.may_check.set()
    wait_for(lambda: len(disk.checked) > 1, "the second check")
    disk.level.stop()
    assert "team:two" not in disk.text()


def test_check_that_comes_to_no_end_is_tried_again(disk: Disk) -> None:
    """When HAProxy answers again, the file is written."""
    disk.error = HaproxyUnreachable("no answer")
    disk.want(_ONE, check=True)
    wait_for(lambda: disk.checked, "the check")
    disk.error = None
    disk.wait_for("team:one")


def test_full_disk_is_tried_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, logged: list[structlog.typing.EventDict]
) -> None:
    """A disk without room is told once; when there is room, the file is written."""
    full = threading.Event()
    full.set()
    write = StateDir.write_level

    def limited(self: StateDir, config: bytes, files: Mapping[str, bytes]) -> Path:
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, config, files)

    monkeypatch.setattr(StateDir, "write_level", limited)
    disk.want(_ONE)
    wait_for(lambda: logged, "a log line")
    assert "No space left" in logged[0]["problem"]
    full.clear()
    disk.wait_for("team:one")
    assert len(logged) == 1


def test_reload_in_between_wins(disk: Disk) -> None:
    """What was made before a reload began is never put in the place of what the reload wrote."""
    disk.may_check.clear()
    disk.want(_TWO, check=True)
    wait_for(lambda: disk.checked, "the check")
    disk.reload(_ONE)
    disk.may_check.set()
    disk.level.stop()
    assert "team:two" not in disk.text()
    assert disk.level.on_disk is not None
    assert disk.level.on_disk.model is _ONE


def test_reload_that_came_to_nothing_leaves_the_change_to_be_written(disk: Disk) -> None:
    """What waited when it began is written after all, and judged first."""
    disk.may_check.clear()
    disk.want(_TWO, check=True)
    wait_for(lambda: disk.checked, "the check")
    disk.state.begin_change()
    disk.may_check.set()
    disk.level.not_reloaded()
    disk.wait_for("team:two")
    assert len(disk.checked) == 1


def test_reload_that_came_to_nothing_writes_nothing_that_is_on_disk(disk: Disk) -> None:
    """Where nothing waited there is nothing to do."""
    disk.want(_ONE)
    wait_for(lambda: disk.level.on_disk is not None, "the file to be in force")
    disk.state.begin_change()
    disk.level.not_reloaded()
    disk.level.stop()
    assert disk.checked == []


def test_unheard_reload_leaves_nothing_known(disk: Disk) -> None:
    """It may or may not be in force: no HAProxy can be started on it unseen."""
    disk.reload(_ONE)
    disk.level.reloaded(None)
    assert disk.level.on_disk is None


def test_stop_writes_what_waits(tmp_path: Path) -> None:
    """The last change before the end is on disk afterwards, however long changes would have been gathered."""
    disk = Disk(tmp_path)
    level = Leveler(Judge(disk.check, disk.state), disk.state, quiet_s=1000)
    level.want(disk.renderer, lambda: _ONE, check=False)
    level.stop()
    assert "team:one" in disk.text()
    assert [thread.name for thread in threading.enumerate() if thread.name == "level"] == []
    disk.state.close()


def test_stop_does_not_wait_for_what_cannot_be_written(disk: Disk) -> None:
    """What HAProxy refuses is not tried for ever."""
    disk.refused = "team:two"
    disk.want(_TWO, check=True)
    wait_for(lambda: disk.checked, "the check")
    disk.level.stop()
    assert disk.text() == ""


def test_stop_without_a_change_has_nothing_to_do(disk: Disk) -> None:
    """No thread was started for it."""
    disk.level.stop()
    assert disk.text() == ""
