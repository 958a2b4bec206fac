"""Which files of a directory are manifests, and their bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from router.errors import ManifestError

MAX_FILE_BYTES = 32 * 1024 * 1024
"""Larger files are refused; 5,000 Routes with Services and slices are 7 MB."""
SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What a directory holds.

    ``files`` are the manifests by path, sorted. ``problems`` name the directories and links that could not be followed, and
    ``unreadable`` are their paths: of what lies there, or below, nothing is known.
    """

    files: Mapping[str, os.stat_result]
    problems: tuple[ManifestError, ...] = ()
    unreadable: tuple[str, ...] = ()

    def is_unknown(self, path: str) -> bool:
        """Whether a file is absent from ``files`` only because nobody could look."""
        return any(path == above or path.startswith(above + os.sep) for above in self.unreadable)


def find(directory: Path) -> FoundFiles:
    """Find the manifests of a directory and of those in it.

    Names that start with a dot or ``#`` are passed over, and all that do not end like a manifest: what editors leave beside
    a file, and the ``..data`` directories of a mounted ConfigMap. Links are followed, also to directories; a directory that
    is reached on two ways is read once.
    """
    walk = _Walk()
    walk.enter(str(directory))
    return FoundFiles(dict(sorted(walk.files.items())), tuple(walk.problems), tuple(walk.unreadable))


def read_bytes(path: str) -> bytes:
    """Read a whole file.

    Raises:
        ManifestError: it cannot be read, is no regular file, or is larger than ``MAX_FILE_BYTES``.
    """
    try:
        # Without O_NONBLOCK the opening of a named pipe would wait for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ManifestError(path, "not a regular file")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ManifestError(path, os_problem(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise ManifestError(path, f"larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")
    return data


def os_problem(error: OSError) -> str:
    """Put an error of the operating system into the words of a problem."""
    return f"cannot be read: {error.strerror or error}"


class _Walk:
    """One walk through a directory; remembers where it was, for links can lead in circles."""

    def __init__(self) -> None:
        self.files: dict[str, os.stat_result] = {}
        self.problems: list[ManifestError] = []
        self.unreadable: list[str] = []
        self._entered: set[tuple[int, int]] = set()

    def enter(self, directory: str) -> None:
        try:
            status = os.stat(directory)  # noqa: PTH116 - a Path for each of thousands of files costs more than the call
            with os.scandir(directory) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            self._cannot_follow(directory, error)
            return
        identity = (status.st_dev, status.st_ino)
        if identity in self._entered:
            return
        self._entered.add(identity)
        for entry in entries:
            self._look_at(entry)

    def _look_at(self, entry: os.DirEntry[str]) -> None:
        if entry.name.startswith((".", "#")):
            return
        try:
            if entry.is_dir():
                self.enter(entry.path)
            elif entry.name.endswith(SUFFIXES):
                if entry.name.isprintable():
                    self.files[entry.path] = entry.stat()
                else:
                    problem = f"the file name {entry.name!a} has characters that cannot be shown; rename it"
                    self.problems.append(ManifestError(entry.path.removesuffix(entry.name), problem))
        except FileNotFoundError as error:
            # Gone since the directory was listed; but a link that leads nowhere is still there.
            if entry.is_symlink():
                self._cannot_follow(entry.path, error)
        except OSError as error:
            self._cannot_follow(entry.path, error)

    def _cannot_follow(self, path: str, error: OSError) -> None:
        self.problems.append(ManifestError(path, os_problem(error)))
        self.unreadable.append(path)
