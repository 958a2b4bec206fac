"""The directory watcher, on a real file system."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from watchdog.observers.api import BaseObserver

from router.manifests import watching
from router.manifests.watching import DirectoryWatcher
from router.supervisor import SUPERVISOR, Supervisor
from tests.support.waiting import wait_for

_QUIET_S = 0.02


class _Calls:
    """Counts calls, and knows when the last one was."""

    def __init__(self, also: Callable[[], object] = lambda: None) -> None:
        self.count = 0
        self.last_s = 0.0
        self._also = also

    def __call__(self) -> None:
        self._also()
        self.count += 1
        self.last_s = time.monotonic()

    def expect_one_more(self, cause: Callable[[], object], what: str) -> None:
        """Do something, and wait for a call that it leads to; then wait for silence, so that the next is another's."""
        before = self.count
        cause()
        wait_for(lambda: self.count > before, what)
        self.expect_silence(what)

    def expect_silence(self, what: str) -> None:
        """Wait until there was no call for a while: ten times as long as a change takes to be told."""
        began_s = time.monotonic()
        wait_for(lambda: time.monotonic() - max(self.last_s, began_s) > 10 * _QUIET_S, f"silence after {what}")


@contextmanager
def _watched(
    directory: Path, calls: Callable[[], None], *, supervisor: Supervisor = SUPERVISOR, **settings: float
) -> Iterator[DirectoryWatcher]:
    settings.setdefault("quiet_s", _QUIET_S)
    watcher = DirectoryWatcher(directory, calls, supervisor=supervisor, **settings)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


def test_every_kind_of_change_is_told(tmp_path: Path) -> None:
    """Files that come, change, move and go are told of, in folders that came later too."""
    calls = _Calls()
    file, moved, folder = tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "sub"
    with _watched(tmp_path, calls):
        calls.expect_one_more(lambda: file.write_text("1"), "a new file")
        calls.expect_one_more(lambda: file.write_text("22"), "a changed file")
        calls.expect_one_more(lambda: file.chmod(0o600), "a changed mode")
        calls.expect_one_more(lambda: file.rename(moved), "a renamed file")
        calls.expect_one_more(lambda: (folder / "deep").mkdir(parents=True), "new folders")
        calls.expect_one_more(lambda: (folder / "deep" / "c.yaml").write_text("1"), "a file in a new folder")
        calls.expect_one_more(moved.unlink, "a deleted file")
        calls.expect_one_more(lambda: shutil.rmtree(folder), "a deleted folder")


def test_reading_is_no_change(tmp_path: Path) -> None:
    """Whoever is called may list and read everything without being called again for it."""
    for number in range(20):
        (tmp_path / f"{number}.yaml").write_text("x")
    calls = _Calls(lambda: [path.read_text() for path in tmp_path.iterdir()])
    with _watched(tmp_path, calls):
        calls.expect_one_more(lambda: (tmp_path / "1.yaml").write_text("y"), "a changed file")


def test_many_changes_are_told_together(tmp_path: Path) -> None:
    """Changes that follow each other closely lead to few calls."""
    calls = _Calls()
    with _watched(tmp_path, calls, quiet_s=0.3, max_wait_s=10):
        for number in range(500):
            (tmp_path / f"{number}.yaml").write_text("x")
        wait_for(lambda: calls.count, "a call")
        assert calls.count == 1


def test_changes_without_a_pause_are_told_all_the_same(tmp_path: Path) -> None:
    """Where it is never quiet, what changed is told after the longest wait."""
    calls = _Calls()

    def still_too_few() -> bool:
        (tmp_path / "a.yaml").write_text("x")
        return calls.count >= 3

    with _watched(tmp_path, calls, quiet_s=30, max_wait_s=0.1):
        wait_for(still_too_few, "three calls")


def test_swapped_configmap(tmp_path: Path) -> None:
    """The way in which Kubernetes updates a mounted ConfigMap, by renaming a link, is told of."""
    calls = _Calls()

    def publish(version: str) -> None:
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "a.yaml").write_text(version)
        (tmp_path / "..data_tmp").symlink_to(f"..{version}")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    publish("1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    with _watched(tmp_path, calls):
        for version in ("2", "3"):
            calls.expect_one_more(lambda version=version: publish(version), f"version {version}")  # type: ignore[misc]
            assert (tmp_path / "a.yaml").read_text() == version


def test_directory_that_is_a_link(tmp_path: Path) -> None:
    """A link to a directory is followed, and so is a change of where it leads."""
    calls = _Calls()
    link, one, two = tmp_path / "link", tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    link.symlink_to("one")

    def lead_to_two() -> None:
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").rename(link)

    with _watched(link, calls):
        calls.expect_one_more(lambda: (one / "a.yaml").write_text("x"), "a file behind the link")
        calls.expect_one_more(lead_to_two, "another target")
        calls.expect_one_more(lambda: (two / "a.yaml").write_text("x"), "a file behind the new link")


def test_directory_that_goes_and_comes(tmp_path: Path) -> None:
    """A directory that is deleted, made anew, or was never there at first is watched once it is there."""
    calls = _Calls()
    directory = tmp_path / "a" / "b"
    with _watched(directory, calls):
        calls.expect_one_more(lambda: directory.mkdir(parents=True), "the directory")
        calls.expect_one_more(lambda: (directory / "a.yaml").write_text("x"), "a file")
        calls.expect_one_more(lambda: shutil.rmtree(tmp_path / "a"), "no directory")
        calls.expect_one_more(lambda: directory.mkdir(parents=True), "the directory again")
        calls.expect_one_more(lambda: (directory / "a.yaml").write_text("x"), "a file again")

        def replace() -> None:
            shutil.rmtree(directory)
            directory.mkdir()

        calls.expect_one_more(replace, "another directory of the same name")
        calls.expect_one_more(lambda: (directory / "a.yaml").write_text("x"), "a file in it")


def test_polls_where_the_kernel_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the limit of watches is reached it says so and looks from time to time instead."""

    def no_room() -> BaseObserver:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(watching, "Observer", no_room)
    monkeypatch.setattr(watching, "POLL_S", 0.05)
    calls = _Calls()
    with capture_logs() as logs, _watched(tmp_path, calls):
        calls.expect_one_more(lambda: (tmp_path / "a.yaml").write_text("x"), "a file")
    assert [(line["event"], "limit reached" in line["problem"]) for line in logs] == [("directory polled", True)]


def test_calls_without_a_change(tmp_path: Path) -> None:
    """A call can be asked for, once or again and again, for what the kernel does not tell."""
    calls = _Calls()
    with _watched(tmp_path, calls) as watcher:
        calls.expect_one_more(lambda: watcher.call_within(0.01), "being asked")
    with _watched(tmp_path, calls, rescan_s=0.01):
        before = calls.count
        wait_for(lambda: calls.count > before + 3, "rescans")


def test_stop_ends_the_threads(tmp_path: Path) -> None:
    """Stopping ends all threads within a second, also right after a file was moved away, and frees the descriptors."""
    before = set(threading.enumerate())
    watched = tmp_path / "watched"
    watched.mkdir()
    for _ in range(3):
        (watched / "a.yaml").write_text("x")
        watcher = DirectoryWatcher(watched, _Calls())
        watcher.start()
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        (watched / "a.yaml").rename(tmp_path / "away.yaml")
        began_s = time.monotonic()
        watcher.stop()
        assert time.monotonic() - began_s < 1
        wait_for(lambda: set(threading.enumerate()) <= before, "no threads")
        assert len(list(Path("/proc/self/fd").iterdir())) < descriptors


def test_stop_before_start(tmp_path: Path) -> None:
    """Stopping a watcher that was never started does nothing."""
    DirectoryWatcher(tmp_path, _Calls()).stop()


def test_death_of_the_watching_thread_is_told_and_mended(tmp_path: Path) -> None:
    """Where what is called raises, the death is known by name, and afterwards changes are told as before."""
    supervisor = Supervisor()
    is_broken = True

    def breaks() -> None:
        if is_broken:
            raise ZeroDivisionError

    calls = _Calls(breaks)
    with capture_logs() as lines, _watched(tmp_path, calls, supervisor=supervisor):
        (tmp_path / "a").write_text("x")
        wait_for(lambda: supervisor.problems, "the death")
        assert supervisor.problems == (f"the thread watch {tmp_path} died: ZeroDivisionError",)
        is_broken = False
        wait_for(lambda: calls.count == 1, "the call that was broken off")
        assert not supervisor.problems
        calls.expect_silence("the call")
        calls.expect_one_more(lambda: (tmp_path / "b").write_text("x"), "a file")
    assert [line["event"] for line in lines] == ["thread died", "thread begins again"]
