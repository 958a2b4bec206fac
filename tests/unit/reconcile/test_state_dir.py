"""The directory shared with HAProxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.errors import SettingsError
from router.reconcile.state_dir import StateDir


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """Open a state directory in a place that does not exist yet."""
    state = StateDir(tmp_path / "deep" / "state")
    state.open()
    return state


def names(directory: Path) -> list[str]:
    """List a directory."""
    return sorted(path.name for path in directory.iterdir())


def test_promote_replaces_and_restore_brings_back(state: StateDir) -> None:
    """What was promoted last can be taken back once."""
    state.write_candidate(b"first", {})
    state.promote()
    state.write_candidate(b"second", {})
    state.promote()
    assert state.config.read_bytes() == b"second"
    state.restore()
    assert state.config.read_bytes() == b"first"


def test_restore_of_the_first_leaves_none(state: StateDir) -> None:
    """A first configuration that is taken back leaves no file to start a HAProxy with."""
    state.write_candidate(b"first", {})
    state.promote()
    state.restore()
    assert not state.config.exists()


def test_promoted_configuration_is_another_file(state: StateDir) -> None:
    """A reader that has the former file open keeps reading the former content."""
    state.write_candidate(b"first", {})
    state.promote()
    with state.config.open("rb") as former:
        state.write_candidate(b"second", {})
        state.promote()
        assert former.read() == b"first"


def test_file_that_a_crash_left_unfinished_is_written_again(tmp_path: Path) -> None:
    """A map file is named by its content; a router that finds another content there does not believe the name."""
    for _ in range(2):
        state = StateDir(tmp_path)
        state.open()
        state.write_candidate(b"", {"a.map": b"whole"})
        assert (tmp_path / "maps" / "a.map").read_bytes() == b"whole"
        (tmp_path / "maps" / "a.map").write_bytes(b"")
        state.close()


def test_sweep_keeps_what_is_used(state: StateDir) -> None:
    """Only map files that the configuration names stay."""
    state.write_candidate(b"", {"a.map": b"1", "b.map": b"2"})
    state.write_candidate(b"", {"b.map": b"2", "c.acl": b"3"})
    state.sweep({"b.map", "c.acl"})
    assert names(state.path / "maps") == ["b.map", "c.acl"]
    assert (state.path / "maps" / "b.map").read_bytes() == b"2"


def test_what_was_left_out_at_a_start_is_not_kept_beyond_the_next_configuration(state: StateDir) -> None:
    """HAProxy was started without a port that somebody had; a configuration that was made since has all that can be had."""
    whole = state.config.with_name("haproxy.cfg.whole")
    for promote in ("sweep", "level"):
        whole.write_bytes(b"")
        if promote == "sweep":
            state.write_candidate(b"", {})
            state.promote()
            state.sweep(())
        else:
            state.write_level(b"", {})
            state.promote_level(state.changes, (), lambda: None)
        assert not whole.exists()


def test_sweep_removes_sockets_of_what_is_no_more(state: StateDir) -> None:
    """HAProxy leaves those on which TLS ended; those that the configuration names stay, and so do the router's own."""
    run = state.path / "run"
    for name in (
        "t7000.sock",
        "t7001-6620.sock",
        "s3.sock",
        "peers.sock",
        "haproxy.sock",
        "master.sock",
        "ready.sock",
        "tcp",
    ):
        (run / name).touch()
    # As HAProxy is written a path with an apostrophe in it.
    state.write_candidate(f"bind unix@'{run.parent}'\\''s/run/t7000.sock' mode 600".encode(), {})
    state.promote()
    state.sweep(())
    assert names(run) == ["haproxy.sock", "master.sock", "ready.sock", "t7000.sock", "tcp"]


def test_two_routers_cannot_share_it(state: StateDir) -> None:
    """The second router is told what to do; after the first left it may."""
    second = StateDir(state.path)
    with pytest.raises(SettingsError, match=r"in use by another router.*--state-dir"):
        second.open()
    state.close()
    second.open()
    second.close()


def test_unusable_place_is_named(tmp_path: Path) -> None:
    """A place that is a file is refused with its name and the option that helps."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file.*--state-dir"):
        StateDir(tmp_path / "file" / "state").open()


def test_level_takes_the_place_of_the_configuration(state: StateDir) -> None:
    """What is to be level is beside the configuration until it is promoted; unused maps go then."""
    state.write_candidate(b"first", {"a.map": b"1"})
    state.promote()
    path = state.write_level(b"second", {"b.map": b"2"})
    assert path.read_bytes() == b"second"
    assert state.config.read_bytes() == b"first"
    done = []
    state.promote_level(state.changes, {"b.map"}, lambda: done.append(state.config.read_bytes()))
    assert done == [b"second"]
    assert state.config_is_ours
    assert names(state.path / "maps") == ["b.map"]


def test_level_of_before_a_change_is_not_promoted(state: StateDir) -> None:
    """A change that was begun meanwhile has the say."""
    state.write_candidate(b"first", {})
    state.promote()
    before = state.changes
    state.write_level(b"second", {})
    state.begin_change()
    done: list[int] = []
    state.promote_level(before, (), lambda: done.append(1))
    assert done == []
    assert state.config.read_bytes() == b"first"
    state.promote_level(state.changes, (), lambda: done.append(2))
    assert (done, state.config.read_bytes()) == ([2], b"second")


def test_level_can_be_taken_back_by_the_next_reload(state: StateDir) -> None:
    """A reload that fails after it restores what was level."""
    state.write_candidate(b"first", {})
    state.promote()
    state.write_level(b"second", {})
    state.promote_level(state.changes, (), lambda: None)
    state.write_candidate(b"third", {})
    state.promote()
    state.restore()
    assert state.config.read_bytes() == b"second"
    assert state.config_is_ours


def test_configuration_of_somebody_else_is_noticed(state: StateDir) -> None:
    """One that was put there, written over, or removed is not ours."""
    assert not state.config_is_ours
    state.write_candidate(b"first", {})
    state.promote()
    assert state.config_is_ours
    other = state.path / "other"
    other.write_bytes(b"first")
    other.rename(state.config)
    assert not state.config_is_ours
    state.write_candidate(b"first", {})
    state.promote()
    state.config.unlink()
    assert not state.config_is_ours


def test_states_of_servers_are_written_whole(state: StateDir) -> None:
    """A file that is written again has what was written last, and no more."""
    state.write_server_states(b"something long")
    state.write_server_states(b"short")
    assert (state.path / "servers.state").read_bytes() == b"short"


@pytest.mark.parametrize("name", ["haproxy.cfg", "haproxy.cfg.candidate", "servers.state", "lock", "maps", "run"])
def test_a_link_in_the_place_of_what_is_written_is_refused(tmp_path: Path, name: str) -> None:
    """Whoever was there first cannot have the router write into a file or folder of his choice."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    place = tmp_path / "state"
    place.mkdir()
    (place / name).symlink_to(victim)
    with pytest.raises(SettingsError, match=rf"state/{name} is a symbolic link, made by .*remove what is there"):
        StateDir(place).open()
    assert victim.read_bytes() == b"precious"


def test_a_link_that_comes_later_is_not_followed(state: StateDir, tmp_path: Path) -> None:
    """A file that is written has its name afterwards; the file that a link in its place led to is as before."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for each in (state.candidate, state.path / "servers.state", state.path / "maps" / "a.map"):
        each.symlink_to(victim)
    (state.path / "maps" / "a.new").symlink_to(victim)
    state.write_server_states(b"states")
    state.write_candidate(b"candidate", {"a.map": b"precious"})
    assert victim.read_bytes() == b"precious"
    assert not any(path.is_symlink() for path in state.path.rglob("*"))
    assert state.candidate.read_bytes() == b"candidate"


def test_a_link_to_the_state_directory_is_followed(tmp_path: Path) -> None:
    """An admin may keep it on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    StateDir(tmp_path / "state").open()
    assert names(tmp_path / "disk") == ["lock", "maps", "run"]


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    """And a folder in that of a file: neither is taken for what it is not."""
    (tmp_path / "maps").write_bytes(b"")
    with pytest.raises(SettingsError, match="maps is of another kind than what belongs there"):
        StateDir(tmp_path).open()


def test_files_are_not_for_everybody(state: StateDir) -> None:
    """The containers of a pod share a group; others on the host have no business in what the router writes."""
    state.write_candidate(b"candidate", {"a.map": b"map"})
    for path in state.path.rglob("*"):
        assert path.stat().st_mode & 0o007 == 0, path
