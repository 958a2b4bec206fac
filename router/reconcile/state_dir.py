"""The directory that the router shares with HAProxy: the configuration, the files it names, and the sockets.

haproxy.cfg             what HAProxy starts with; replaced by a rename, never written in place
haproxy.cfg.candidate   what is about to be checked
haproxy.cfg.previous    what haproxy.cfg was before the reload under way
haproxy.cfg.level       what haproxy.cfg is to be after changes that needed no reload
haproxy.kept            by what router, HAProxy, options and templates haproxy.cfg was made, once HAProxy has loaded it
haproxy.files           how many files a HAProxy in a container of its own may have open
claims.json             what was won, where the input is a folder
generations.json        whom HAProxy may share ports with, for HAProxy's container
pool.json               how many ports the busiest hours took, for a pool that sizes itself
servers.state           which servers the last worker knew to be down, for the next one
maps/                   map and ACL files, and certificates with their keys, named by their content; unused ones are swept after a success
run/                    the sockets
lock                    held while a router uses the directory
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from router import owned
from router.errors import SettingsError
from router.model.tls import PrivateBytes

_INNER_SOCKET = re.compile(r"([ts][0-9]\S*|peers)\.sock")
"""As ``RenderSettings`` names those to which HAProxy alone connects."""


class StateDir:
    """One router's state directory.

    Args:
        path: the directory; made, with its parents, by ``open``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "haproxy.cfg"
        self._kept = path / "haproxy.kept"
        self.origin = b""
        """What is to be noted of what makes haproxy.cfg, when HAProxy has loaded it; empty for nothing."""
        self.candidate = path / "haproxy.cfg.candidate"
        self._previous = path / "haproxy.cfg.previous"
        self._level = path / "haproxy.cfg.level"
        self._server_states = path / "servers.state"
        self.generations = path / "generations.json"
        self.won = path / "claims.json"
        self.names = path / "names.json"
        self.busiest_hours = path / "pool.json"
        self._whole = path / "haproxy.cfg.whole"
        """What was in haproxy.cfg when HAProxy was started without a part of it, until there is another haproxy.cfg."""
        self._maps = path / "maps"
        self._run = path / "run"
        self._known: set[str] = set()
        """Map and ACL files that are known to have the content which their names say."""
        self._swept: frozenset[str] | None = None
        """Those that were left by the last look for others; None where others have come since."""
        self._lock: int | None = None
        self._changing = threading.Lock()
        self._ours: os.stat_result | None = None
        self._formerly_ours: os.stat_result | None = None
        self._changes = 0

    def open(self) -> None:
        """Make the directory and take it for this process.

        Raises:
            SettingsError: it cannot be made or written, another user made it or something in it, or another router uses it.
        """
        lock = self.path / "lock"
        files = (
            self.config,
            self._whole,
            self._kept,
            self.candidate,
            self._previous,
            self._level,
            self._server_states,
            self.generations,
            self.won,
            self.names,
            self.busiest_hours,
            lock,
        )
        try:
            owned.make_folders(self.path, (self._maps, self._run), files)
            self._lock = owned.open_file(lock, os.O_RDWR)
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

    @property
    def config_is_ours(self) -> bool:
        """Whether haproxy.cfg is the file that this router put there last, not what somebody else put in its place."""
        try:
            there = self.config.stat()
        except FileNotFoundError:
            return False
        return (
            self._ours is not None
            and os.path.samestat(there, self._ours)
            and there.st_mtime_ns == self._ours.st_mtime_ns
        )

    def kept_origin(self) -> bytes | None:
        """Give what a router before noted of what made haproxy.cfg; None where there is no such file, or no note.

        Raises:
            OSError: it cannot be read.
        """
        return owned.read_file(self._kept) if self._kept.exists() and self.config.exists() else None

    def forget_origin(self) -> None:
        """Have nothing noted of what made haproxy.cfg: it will be another one."""
        self._kept.unlink(missing_ok=True)

    def adopt(self, config: bytes) -> bool:
        """Take the haproxy.cfg that is there for ours, if this is its content; say whether it is."""
        if not self.config.exists() or owned.read_file(self.config) != config:
            return False
        self._ours = self.config.stat()
        return True

    @property
    def changes(self) -> int:
        """How often a change was begun; any thread."""
        return self._changes

    def begin_change(self) -> None:
        """Say that a candidate will be written: what ``write_level`` wrote before is out of date."""
        with self._changing:
            self._changes += 1

    def write_level(self, config: bytes, files: Mapping[str, bytes]) -> Path:
        """Write what the configuration is to be, for ``promote_level``; any thread.

        Returns:
            Its path.

        Raises:
            OSError: the directory cannot be written.
        """
        # Without a look at the folder, which has a file for each allowlist: nobody but us removes any.
        self._write_files({name: content for name, content in files.items() if name not in self._known}, ".level")
        owned.write_file(self._level, config)
        return self._level

    def promote_level(self, changes: int, used: Iterable[str], done: Callable[[], None]) -> None:
        """Make it the configuration, atomically, unless a change was begun since there were so many; any thread.

        Args:
            changes: how many there were when it was made.
            used: the map and ACL files that it names.
            done: called when it is the configuration, before any further change can begin.
        """
        _sync(self._level)
        with self._changing:
            if changes == self._changes:
                self._level.rename(self.config)
                self._ours = self.config.stat()
                _sync(self.path)
                self._whole.unlink(missing_ok=True)
                self._sweep_maps(used)
                done()

    def write_server_states(self, content: bytes) -> None:
        """Write what the next worker is told of its servers."""
        owned.write_file(self._server_states, content)

    def write_candidate(self, config: bytes, files: Mapping[str, bytes]) -> Path:
        """Write a configuration beside the one in use, and the files that it names.

        The files are named by their content, so nothing that runs is disturbed by new ones.

        Returns:
            The candidate's path.

        Raises:
            OSError: the directory cannot be written.
        """
        self._write_files(files, ".new")
        owned.write_file(self.candidate, config)
        return self.candidate

    def _write_files(self, files: Mapping[str, bytes], suffix: str) -> None:
        if not files:
            return
        there = {path.name for path in self._maps.iterdir()}
        for name, content in files.items():
            path = self._maps / name
            if name in there and (name in self._known or owned.read_file(path) == content):
                self._known.add(name)
                continue
            # Beside it, under a name of its own, so that two threads that write the same file do not meet. Not synced: there
            # may be thousands, and what a crash of the host leaves of them is looked at by the next router.
            owned.write_file(path.with_suffix(suffix), content, private=isinstance(content, PrivateBytes))
            with self._changing:
                # Together, for another thread may be sweeping.
                path.with_suffix(suffix).rename(path)
                self._known.add(name)
                self._swept = None

    def promote(self) -> None:
        """Make the candidate the configuration, atomically; what it replaces can be had back by ``restore``."""
        _sync(self.candidate)
        self._previous.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.link(self.config, self._previous)
        self.candidate.rename(self.config)
        self._formerly_ours, self._ours = self._ours, self.config.stat()
        _sync(self.path)

    def restore(self) -> None:
        """Take the last ``promote`` back; without a configuration before it there is none afterwards."""
        try:
            self._previous.rename(self.config)
            self._ours = self._formerly_ours
        except FileNotFoundError:
            self.config.unlink(missing_ok=True)
        _sync(self.path)

    def sweep(self, used: Iterable[str]) -> None:
        """Remove map and ACL files that the configuration in use does not name, sockets of HAProxy's own of former ones, and former configurations."""
        self._previous.unlink(missing_ok=True)
        self._whole.unlink(missing_ok=True)
        with self._changing:
            self._sweep_maps(used)
        self._sweep_sockets()
        if self.origin and self.kept_origin() != self.origin:
            owned.write_file(self._kept, self.origin)

    def _sweep_sockets(self) -> None:
        """Remove sockets of what ends TLS or takes counts over and is no more: a worker that ends leaves them, for its successor may have them."""
        left = [path for path in self._run.iterdir() if _INNER_SOCKET.fullmatch(path.name)]
        if left:
            config = self.config.read_bytes()
            for path in left:
                # By its name: what is before it may be written otherwise, in quotes.
                if f"/{path.name}".encode() not in config:
                    path.unlink(missing_ok=True)

    def _sweep_maps(self, used: Iterable[str]) -> None:
        keep = frozenset(used)
        if keep == self._swept:
            return
        for path in self._maps.iterdir():
            if path.name not in keep:
                path.unlink(missing_ok=True)
        self._known &= keep
        self._swept = keep


def _sync(path: Path) -> None:
    """Have a file or directory on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
