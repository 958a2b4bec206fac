"""Folders and files in which no other user had a hand: what is served must not be for somebody to choose who came first.

Who else may have made something: root, and, where root's group is ours too or root made the folder for a group that we are in,
the members of that group. That is how the containers of a pod share a volume, under whatever user ids they run: Kubernetes makes
it root's, open to all, and what is made in it has the group 0 (OpenShift) or that of ``fsGroup``.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from router.errors import SettingsError

_ROOT = 0


@dataclass(frozen=True, slots=True)
class Us:
    """Who we are to the kernel."""

    user: int
    groups: frozenset[int]

    @classmethod
    def now(cls) -> Us:
        """Give whom this process runs as."""
        return cls(os.geteuid(), frozenset((os.getegid(), *os.getgroups())))


def objection(entry: os.stat_result, us: Us, folder: os.stat_result | None = None) -> str | None:
    """Say what is wrong with a folder or file that was there before us; None if nothing is.

    Args:
        entry: what is known of it, by ``lstat``.
        us: who we are.
        folder: the folder that it is in, if that was looked at.
    """
    if stat.S_ISLNK(entry.st_mode):
        return f"is a symbolic link, made by {_name(entry.st_uid)}"
    if not _is_trusted(entry, us, folder):
        return f"belongs to {_name(entry.st_uid)}"
    # That of a volume in a pod is root's.
    if stat.S_ISDIR(entry.st_mode) and entry.st_uid != _ROOT and _is_open(entry.st_mode):
        return f"can be written by everybody (mode {stat.S_IMODE(entry.st_mode):04o})"
    return None


def _is_trusted(entry: os.stat_result, us: Us, folder: os.stat_result | None) -> bool:
    if entry.st_uid in {us.user, _ROOT}:
        return True
    if entry.st_gid not in us.groups:
        return False
    return entry.st_gid == _ROOT or (folder is not None and folder.st_uid == _ROOT and folder.st_gid == entry.st_gid)


def _is_open(mode: int) -> bool:
    return mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH


def make_folders(top: Path, inside: Iterable[Path], files: Iterable[Path]) -> None:
    """Make a folder and those inside it, or see that they, and files that may be there, are in nobody else's hand.

    Args:
        top: the folder. A symbolic link to it is fine where we or root made that.
        inside: folders in it.
        files: files in it that will be read, written or replaced.

    Raises:
        SettingsError: somebody else made one of them, or could change it.
        OSError: one cannot be made or looked at.
    """
    us = Us.now()
    top.mkdir(mode=0o770, parents=True, exist_ok=True)
    link = top.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in {us.user, _ROOT}:
        raise _refused(top, objection(link, us), us)
    of_top = top.stat()
    if (problem := objection(of_top, us)) is not None:
        raise _refused(top, problem, us)
    for folder in inside:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o770)
        _look(folder, stat.S_ISDIR, of_top, us)
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            _look(file, stat.S_ISREG, of_top, us)


def _look(path: Path, is_right_kind: Callable[[int], bool], folder: os.stat_result, us: Us) -> None:
    found = path.lstat()
    problem = objection(found, us, folder)
    if problem is None and not is_right_kind(found.st_mode):
        problem = f"is of another kind than what belongs there ({stat.filemode(found.st_mode)})"
    if problem is not None:
        raise _refused(path, problem, us)


def open_file(path: Path, flags: int, mode: int = 0o660) -> int:
    """Open a file, made with this mode if it is not there, without following a link that somebody put in its place.

    Raises:
        OSError: it cannot be opened; ELOOP where it is a symbolic link.
    """
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def write_file(path: Path, content: bytes, *, sync: bool = False, private: bool = False) -> None:
    """Write a file anew: whatever had its name before, a link to somebody's file say, is left as it is.

    Args:
        path: the file.
        content: what shall be in it.
        sync: have it on the disk when this returns.
        private: for our own user alone to read.

    Raises:
        OSError: it cannot be written.
    """
    path.unlink(missing_ok=True)
    with os.fdopen(open_file(path, os.O_WRONLY | os.O_EXCL, 0o600 if private else 0o660), "wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def read_file(path: Path) -> bytes | None:
    """Read a file that we, or somebody who is trusted, wrote; None where it is another's, a link, or no file.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    if objection(path.lstat(), Us.now()) is not None:
        return None
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return file.read() if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None


def _refused(path: Path, problem: str | None, us: Us) -> SettingsError:
    return SettingsError(
        f"the state directory cannot be trusted: {path} {problem}, and whoever has a hand in it could choose what HAProxy "
        f"serves. It has to be of {_name(us.user)} or root, without links in it, and not for everybody to write; remove what is "
        "there, or give another directory with --state-dir"
    )


def _name(user: int) -> str:
    try:
        return f"user {pwd.getpwuid(user).pw_name} ({user})"
    except KeyError:
        return f"user {user}"
