"""The directory that the router shares with HAProxy: the configuration, the files it names, and the sockets.

haproxy.cfg             what HAProxy starts with; replaced by a rename, never written in place
haproxy.cfg.candidate   what is about to be checked
haproxy.cfg.previous    what haproxy.cfg was before the reload under way
maps/                   map and ACL files, named by their content; unused ones are swept after a success
run/                    the sockets
lock                    held while a router uses the directory
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from router.errors import SettingsError


class StateDir:
    """One router's state directory.

    Args:
        path: the directory; made, with its parents, by ``open``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "haproxy.cfg"
        self.candidate = path / "haproxy.cfg.candidate"
        self._previous = path / "haproxy.cfg.previous"
        self._maps = path / "maps"
        self._lock: int | None = None

    def open(self) -> None:
        """Make the directory and take it for this process.

        Raises:
            SettingsError: it cannot be made or written, or another router uses it.
        """
        try:
            for directory in (self.path, self._maps, self.path / "run"):
                directory.mkdir(mode=0o770, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise SettingsError(
                f"the state directory {self.path} is in use by another router; give this one its own with --state-dir"
            ) from None
        except OSError as error:
            self.close()
            raise SettingsError(
                f"the state directory {self.path} cannot be used ({error.strerror}: {error.filename}); "
                "give a writable one with --state-dir"
            ) from error

    def close(self) -> None:
        """Leave the directory to others."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_candidate(self, config: bytes, files: Mapping[str, bytes]) -> Path:
        """Write a configuration beside the one in use, and the files that it names.

        The files are named by their content, so nothing that runs is disturbed by new ones.

        Returns:
            The candidate's path.

        Raises:
            OSError: the directory cannot be written.
        """
        for name, content in files.items():
            path = self._maps / name
            if not path.exists():
                _write(path.with_suffix(".new"), content)
                path.with_suffix(".new").rename(path)
        _sync_directory(self._maps)
        _write(self.candidate, config)
        return self.candidate

    def promote(self) -> None:
        """Make the candidate the configuration, atomically; what it replaces can be had back by ``restore``."""
        self._previous.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.link(self.config, self._previous)
        self.candidate.rename(self.config)
        _sync_directory(self.path)

    def restore(self) -> None:
        """Take the last ``promote`` back; without a configuration before it there is none afterwards."""
        try:
            self._previous.rename(self.config)
        except FileNotFoundError:
            self.config.unlink(missing_ok=True)
        _sync_directory(self.path)

    def sweep(self, used: Iterable[str]) -> None:
        """Remove map and ACL files that the configuration in use does not name, and the previous configuration."""
        self._previous.unlink(missing_ok=True)
        keep = set(used)
        for path in self._maps.iterdir():
            if path.name not in keep:
                path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
