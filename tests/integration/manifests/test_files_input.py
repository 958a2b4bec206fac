"""The store follows a directory of manifests, on a real file system."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from router.manifests import follow as files
from router.manifests.files import find
from router.manifests.follow import EMPTIED_GRACE_S, FilesInput
from router.objects.core import Service
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Changes, Store
from tests.support.objects import app, route, service
from tests.support.waiting import wait_for

_FIRST_S = 1_750_000_000
_FIRST = "2025-06-15T15:06:40Z"


class _Directory:
    """A directory of manifests, and an input that is told when to look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(frozenset({FilesInput.SOURCE}))
        self.now_s = float(_FIRST_S)
        self.monotonic_s = 0.0
        self.input = FilesInput(path, self.store, now_s=lambda: self.now_s, monotonic_s=lambda: self.monotonic_s)

    def write(self, name: str, *values: dict[str, Any] | str) -> None:
        """Write a file of some documents."""
        documents = (value if isinstance(value, str) else json.dumps(value) for value in values)
        (self.path / name).write_text("\n---\n".join(documents))

    def refresh(self) -> Changes:
        """Look, and give what changed."""
        self.input.refresh()
        return self.store.take()[0]

    @property
    def routes(self) -> set[str]:
        """Names of the Routes that the store has."""
        return {key.name for key in self.store.objects.routes}

    @property
    def problems(self) -> list[str]:
        """The problems, without the directory."""
        return [str(problem).replace(f"{self.path}/", "") for problem in self.input.problems]

    def stamp(self, name: str) -> str | None:
        """Give the creationTimestamp of a Route."""
        return self.store.objects.routes[ObjectKey("team", name)].metadata.creation_timestamp


@pytest.fixture
def directory(tmp_path: Path) -> _Directory:
    """Give an empty directory."""
    path = tmp_path / "manifests"
    path.mkdir()
    return _Directory(path)


def _changed(*routes: str) -> Changes:
    return Changes(frozenset((Route, ObjectKey("team", name)) for name in routes))


def test_changes_are_the_difference(directory: _Directory) -> None:
    """Each look tells the store what is different, and nothing else."""
    directory.write("a.yaml", route("a"), route("b"))
    (directory.path / "sub.json").write_text(json.dumps({"kind": "List", "items": app("c", 6620, ("10.0.0.1", 5432))}))
    assert not directory.store.is_synced
    assert directory.refresh().askers == _changed("a", "b", "c").askers
    assert directory.store.is_synced
    assert set(directory.store.objects.services) == set(directory.store.objects.slices) == {ObjectKey("team", "c")}
    assert directory.refresh() == Changes()
    directory.write("a.yaml", route("a"), route("b", 1234), route("d"))
    assert directory.refresh() == _changed("b", "d")
    (directory.path / "a.yaml").unlink()
    assert directory.refresh() == _changed("a", "b", "d")
    assert directory.routes == {"c"}
    assert directory.problems == []


def test_equal_objects_stay_the_same(directory: _Directory) -> None:
    """An object that says the same after its file was written anew is the same Python object."""
    directory.write("a.yaml", route("a"), route("b"), service("a"))
    directory.refresh()
    former = directory.store.objects.routes[ObjectKey("team", "a")]
    directory.write("a.yaml", "# a comment\n" + json.dumps(route("a")), service("a"), route("b", 1))
    assert directory.refresh() == _changed("b")
    assert directory.store.objects.routes[ObjectKey("team", "a")] is former


def test_file_that_does_not_parse_keeps_its_last_good_objects(directory: _Directory) -> None:
    """A half-written file changes nothing; that is told once, with line and column, and so is the recovery."""
    directory.write("a.yaml", route("a"))
    directory.write("b.yaml", route("b"))
    directory.refresh()
    with capture_logs() as logs:
        directory.write("a.yaml", '{"kind": "Route",\n"metadata": {"na')
        assert directory.refresh() == Changes()
        assert directory.refresh() == Changes()
        (problem,) = directory.problems
        assert problem.startswith("a.yaml:2:14: not JSON")
        directory.write("b.yaml", route("b", 1234))
        assert directory.refresh() == _changed("b")
        directory.write("a.yaml", route("a", 1234))
        assert directory.refresh() == _changed("a")
    assert directory.problems == []
    path = str(directory.path / "a.yaml")
    assert [(line["event"], line["path"]) for line in logs] == [
        ("manifest problem", path),
        ("manifest recovered", path),
    ]
    assert (logs[0]["line"], logs[0]["column"], logs[0]["log_level"]) == (2, 14, "warning")


def test_bad_object_keeps_its_last_good_version(directory: _Directory) -> None:
    """An object of wrong shape stays as it was; the others of its file change as asked."""
    directory.write("a.yaml", route("a", 1), route("b", 1))
    directory.refresh()
    bad = route("a", 2)
    bad["metadata"]["annotations"]["haproxy.router.openshift.io/external-tcp-port"] = 6620
    directory.write("a.yaml", bad, route("b", 2))
    assert directory.refresh() == _changed("b")
    (problem,) = directory.problems
    assert problem.endswith('6620 is a number; write "6620"')
    directory.write("a.yaml", route("b", 2))
    assert directory.refresh() == _changed("a")
    assert directory.problems == []


def test_unreadable_file_keeps_its_last_good_objects(directory: _Directory) -> None:
    """A file that cannot be read is like one that does not parse."""
    directory.write("a.yaml", route("a"))
    directory.refresh()
    (directory.path / "a.yaml").unlink()
    (directory.path / "a.yaml").symlink_to("nowhere")
    assert directory.refresh() == Changes()
    assert directory.problems == ["a.yaml: cannot be read: No such file or directory"]
    (directory.path / "a.yaml").unlink()
    assert directory.refresh() == _changed("a")
    assert directory.problems == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(directory: _Directory) -> None:
    """A file that may not be read keeps its last good objects until it may be again."""
    directory.write("a.yaml", route("a"))
    directory.refresh()
    (directory.path / "a.yaml").chmod(0)
    assert directory.refresh() == Changes()
    assert directory.problems == ["a.yaml: cannot be read: Permission denied"]
    (directory.path / "a.yaml").chmod(0o600)
    assert directory.refresh() == Changes()
    assert directory.problems == []


def test_emptied_file_keeps_its_objects_for_a_while(directory: _Directory) -> None:
    """A file that is emptied may be about to be written; after a while its objects go."""
    directory.write("a.yaml", route("a"))
    directory.refresh()
    directory.write("a.yaml", "")
    assert directory.refresh() == Changes()
    assert directory.problems == ["a.yaml: is empty; its objects go away unless it is written within 2 s"]
    directory.write("a.yaml", route("a"))
    assert directory.refresh() == Changes()
    assert directory.problems == []
    directory.write("a.yaml", "")
    directory.refresh()
    directory.monotonic_s += EMPTIED_GRACE_S
    assert directory.refresh() == _changed("a")
    assert directory.problems == []


def test_renamed_file_drops_nothing(directory: _Directory) -> None:
    """A file of another name, or in another folder, has the same objects."""
    directory.write("a.yaml", route("a"))
    directory.refresh()
    former = directory.store.objects.routes[ObjectKey("team", "a")]
    (directory.path / "sub").mkdir()
    (directory.path / "a.yaml").rename(directory.path / "sub" / "b.yaml")
    assert directory.refresh() == Changes()
    assert directory.store.objects.routes[ObjectKey("team", "a")] is former


def test_duplicates(directory: _Directory) -> None:
    """Of two files with one object the first by path counts; when it goes, the other one does."""
    directory.write("b.yaml", route("a", 2))
    directory.refresh()
    directory.write("a.yaml", route("a", 1))
    assert directory.refresh() == _changed("a")
    assert directory.problems == ["b.yaml:1: Route team/a is in a.yaml:1 already; that one counts"]
    (directory.path / "a.yaml").unlink()
    assert directory.refresh() == _changed("a")
    assert directory.problems == []


def test_only_changed_files_are_read(directory: _Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that looks as before is not opened again, once some time passed since it was written."""
    for name in ("a.yaml", "b.yaml"):
        directory.write(name, route(name[0]))
    opened: list[str] = []
    really_open = os.open

    def note_and_open(path: str, *args: int) -> int:
        opened.append(Path(path).name)
        return really_open(path, *args)

    def refreshed() -> list[str]:
        opened.clear()
        directory.refresh()
        return opened

    monkeypatch.setattr(os, "open", note_and_open)
    assert refreshed() == ["a.yaml", "b.yaml"]
    wait_for(lambda: refreshed() == [], "files that are not read")
    directory.write("b.yaml", route("b", 5))
    assert refreshed() == ["b.yaml"]


def test_file_rewritten_within_one_tick(directory: _Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was written twice within one tick of the file system's clock is not taken for unchanged."""
    directory.write("a.yaml", route("a", 1111))
    found = find(directory.path)
    monkeypatch.setattr(files, "find", lambda _: found)
    directory.refresh()
    directory.write("a.yaml", route("a", 2222))
    assert directory.refresh() == _changed("a")


def test_missing_directory(directory: _Directory) -> None:
    """A directory that is not there is a problem; what was there stays until it can be read again."""
    directory.write("a.yaml", "a: [")
    directory.write("b.yaml", route("b"))
    shutil.copytree(directory.path, directory.path.with_name("copy"))
    shutil.rmtree(directory.path)
    directory.refresh()
    assert directory.problems == [f"{directory.path}: cannot be read: No such file or directory"]
    assert not directory.store.is_synced
    directory.path.with_name("copy").rename(directory.path)
    assert directory.refresh() == _changed("b")
    assert directory.store.is_synced
    shutil.rmtree(directory.path)
    assert directory.refresh() == Changes()
    assert len(directory.problems) == 2
    directory.path.mkdir()
    assert directory.refresh() == _changed("b")
    assert directory.problems == []


def test_first_reading_has_one_stamp_and_later_ones_later_stamps(directory: _Directory) -> None:
    """Objects without a creationTimestamp get the time they were first seen; who comes later is never older."""
    directory.write("a.yaml", route("a"), route("b"))
    directory.refresh()
    assert (directory.stamp("a"), directory.stamp("b")) == (_FIRST, _FIRST)
    directory.write("c.yaml", route("c"))
    directory.refresh()
    assert directory.stamp("c") == "2025-06-15T15:06:41Z"
    directory.now_s -= 3600
    directory.write("d.yaml", route("d"))
    directory.write("a.yaml", route("a", 5), route("b"))
    directory.refresh()
    assert directory.stamp("d") == "2025-06-15T15:06:42Z"
    assert directory.stamp("a") == _FIRST


def test_stamp_lasts_as_long_as_the_object(directory: _Directory) -> None:
    """An object that goes and comes again is a new one; one with a creationTimestamp of its own keeps that."""
    own = route("b")
    own["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    directory.write("a.yaml", route("a"), own)
    directory.refresh()
    assert directory.stamp("b") == "2020-01-01T00:00:00Z"
    (directory.path / "a.yaml").unlink()
    directory.refresh()
    directory.now_s += 60
    directory.write("a.yaml", route("a"), route("b"))
    directory.refresh()
    assert directory.stamp("a") == directory.stamp("b") == "2025-06-15T15:07:40Z"


def test_another_input_may_disagree(directory: _Directory) -> None:
    """What another input did to the same objects is no trouble; the last word counts."""
    directory.write("a.yaml", route("a"))
    directory.refresh()
    directory.store.delete(Route, ObjectKey("team", "a"))
    directory.store.delete(Service, ObjectKey("team", "a"))
    assert directory.refresh() == _changed("a")
    (directory.path / "a.yaml").unlink()
    assert directory.refresh() == Changes()


@contextmanager
def _running(directory: Path, store: Store) -> Iterator[FilesInput]:
    running = FilesInput(directory, store)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def _host(store: Store) -> str:
    store.take()
    found = store.objects.routes.get(ObjectKey("team", "a"))
    return found.spec.host if found is not None else ""


def test_live(directory: _Directory) -> None:
    """Once started, the input is synced, and the store follows edits of every kind without being asked."""
    path, store = directory.path, directory.store
    directory.write("a.yaml", route("a", host="0"))
    with _running(path, store):
        assert store.is_synced
        assert _host(store) == "0"
        directory.write("a.yaml", route("a", host="1"))
        wait_for(lambda: _host(store) == "1", "an edited file")
        (path / ".a.yaml.swp").write_text(json.dumps(route("a", host="2")))
        (path / ".a.yaml.swp").rename(path / "a.yaml")
        wait_for(lambda: _host(store) == "2", "a file renamed over the former")
        directory.write("a.yaml", "")
        wait_for(lambda: not _host(store), "an emptied file", deadline_s=EMPTIED_GRACE_S + 10)
        directory.write("a.yaml", route("a", host="3"))
        wait_for(lambda: _host(store) == "3", "a file written again")
        shutil.rmtree(path)
        path.mkdir()
        directory.write("b.yaml", route("a", host="4"))
        wait_for(lambda: _host(store) == "4", "another directory")
        (path / "b.yaml").unlink()
        wait_for(lambda: not _host(store), "a deleted file")


def test_live_configmap(directory: _Directory) -> None:
    """A mounted ConfigMap is followed through its swaps, and no Route is gone for a moment."""
    path, store = directory.path, directory.store

    def publish(version: int) -> None:
        folder = path / f"..{version}"
        folder.mkdir()
        (folder / "a.yaml").write_text(json.dumps(route("a", host=str(version))))
        (path / "..data_tmp").symlink_to(folder.name)
        (path / "..data_tmp").rename(path / "..data")
        shutil.rmtree(path / f"..{version - 1}", ignore_errors=True)

    publish(1)
    (path / "a.yaml").symlink_to("..data/a.yaml")
    with _running(path, store):
        for version in range(2, 5):
            publish(version)
            seen: set[str] = set()

            def arrived(version: int = version, seen: set[str] = seen) -> bool:
                seen.add(_host(store))
                return str(version) in seen

            wait_for(arrived, f"version {version}")
            assert seen <= {str(version - 1), str(version)}


_NAMES = ("a.yaml", "b.json", "c.yml")
_edits = st.lists(
    st.tuples(
        st.sampled_from(_NAMES),
        st.sampled_from(("write", "break", "delete")),
        st.dictionaries(st.sampled_from(("x", "y", "z")), st.integers(1, 3), max_size=2),
    ),
    max_size=5,
)


@given(st.lists(_edits, min_size=1, max_size=4))
@settings(max_examples=40)
def test_any_edits(tmp_path_factory: pytest.TempPathFactory, rounds: list[Any]) -> None:
    """After any edits the store has what the files say, broken ones standing for what they last said."""
    directory = _Directory(tmp_path_factory.mktemp("manifests"))
    good: dict[str, dict[str, int]] = {}
    for edits in rounds:
        texts: dict[str, dict[str, int] | None] = {}
        for name, edit, ports in edits:
            file = directory.path / name
            if edit == "write":
                items = [route(key, port) for key, port in ports.items()]
                file.write_text(json.dumps({"kind": "List", "items": items}))
                texts[name] = ports
            elif edit == "break":
                file.write_text("{")
                texts[name] = None
            else:
                file.unlink(missing_ok=True)
                texts[name] = {}
        good.update({name: ports for name, ports in texts.items() if ports is not None})
        directory.refresh()
        wanted: dict[str, str] = {}
        for name in sorted(good):
            for key, port in good[name].items():
                wanted.setdefault(key, str(port))
        found = {
            key.name: (one.metadata.annotations or {})["haproxy.router.openshift.io/external-tcp-port"]
            for key, one in directory.store.objects.routes.items()
        }
        assert found == wanted
