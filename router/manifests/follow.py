"""Keeps the store equal to a directory of manifests.

A file that cannot be read or parsed keeps its last good objects, and so does a single object that cannot be used; both are
problems, told once. Only files that changed are read again.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from router.errors import ManifestError
from router.manifests.files import FoundFiles, find, read_bytes
from router.manifests.parse import FileContent, Manifest, merge, parse
from router.manifests.watching import DirectoryWatcher
from router.objects.kinds import KubernetesObject, Slot
from router.objects.store import Store

EMPTIED_GRACE_S = 2.0
"""How long a file that became empty keeps its objects: ``oc get ... > file`` empties it first and writes it a second later."""
SETTLE_S = 0.05
"""Between two looks at a directory from which files are gone: one that is renamed meanwhile must not be missed."""
SETTLE_TRIES = 5
RESCAN_S = 10.0
"""Between two looks at a directory in which the kernel tells of no change."""
_RACY_NS = 100_000_000
"""A file written so recently can be written once more and look the same, for clocks of file systems tick slowly."""

_Fingerprint = tuple[int, int, int, int, int]


@dataclass(slots=True)
class _Known:
    """What is known of one file."""

    fingerprint: _Fingerprint
    is_settled: bool
    """Whether an equal fingerprint means equal bytes."""
    digest: bytes
    content: FileContent
    """With the last good objects, where the file's own cannot be used."""
    emptied_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Given:
    """An object as it was read, as the store was told it, and when it was first seen (seconds since the epoch)."""

    read: KubernetesObject
    told: KubernetesObject
    first_seen_s: int


class FilesInput:
    """Reads a directory of manifests into the store, and follows its changes.

    Objects that come without ``metadata.creationTimestamp`` get the time at which they were first seen: all of the first
    reading the same, all of a later one a later second. So a Route that is added cannot take a port from one that is there.

    Args:
        directory: of manifests; need not exist yet, but the store is not synced before it could be read.
        store: is told with each change.
        now_s: the clock of timestamps, seconds since the epoch.
        monotonic_s: the clock of waiting times.
    """

    SOURCE = "files"
    """The name by which the store knows this input."""

    def __init__(
        self,
        directory: Path,
        store: Store,
        *,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._store = store
        self._now_s = now_s
        self._monotonic_s = monotonic_s
        self._log = structlog.get_logger()
        self._watcher = DirectoryWatcher(directory, self.refresh, rescan_s=RESCAN_S)
        self._is_stopping = threading.Event()
        self._turn = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._given: dict[Slot, _Given] = {}
        self._last_stamp_s = 0
        self._problems: tuple[ManifestError, ...] = ()

    @property
    def problems(self) -> tuple[ManifestError, ...]:
        """What cannot be used now, sorted by path and place."""
        return self._problems

    def start(self) -> None:
        """Read the directory, then follow it on a thread of its own."""
        # Watching first: what changes while the directory is read is read again.
        self._watcher.start()
        self.refresh()

    def stop(self) -> None:
        """Follow no longer; the store keeps what it has."""
        self._is_stopping.set()
        self._watcher.stop()

    def refresh(self) -> None:
        """Bring the store level with the directory; any thread."""
        with self._turn:
            found = self._find_settled()
            if str(self._directory) in found.unreadable:
                self._tell((*self._problems, *found.problems))
                return
            known = self._read(found)
            if self._is_stopping.is_set():
                return
            self._known = known
            merged = merge(known[path].content for path in sorted(known))
            self._give(merged.manifests)
            self._tell((*found.problems, *merged.problems))
            self._store.mark_synced(self.SOURCE)

    def _find_settled(self) -> FoundFiles:
        """Find the files; where some are gone, look until two looks agree about them."""
        found = find(self._directory)
        gone = self._gone(found)
        for _ in range(SETTLE_TRIES):
            if not gone or self._is_stopping.wait(SETTLE_S):
                break
            found = find(self._directory)
            gone, gone_before = self._gone(found), gone
            if gone == gone_before:
                break
        return found

    def _gone(self, found: FoundFiles) -> set[str]:
        return {path for path in self._known.keys() - found.files.keys() if not found.is_unknown(path)}

    def _read(self, found: FoundFiles) -> dict[str, _Known]:
        """Give what is known of all files now, reading those that changed."""
        kept = {
            path: known for path, known in self._known.items() if path not in found.files and found.is_unknown(path)
        }
        for path, status in found.files.items():
            if self._is_stopping.is_set():
                break
            former = self._known.get(path)
            fingerprint = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if former is not None and former.is_settled and former.fingerprint == fingerprint:
                kept[path] = former
            else:
                kept[path] = self._read_file(path, fingerprint, former)
        return kept

    def _read_file(self, path: str, fingerprint: _Fingerprint, former: _Known | None) -> _Known:
        is_settled = abs(time.time_ns() - max(fingerprint[-2:])) > _RACY_NS
        try:
            data = read_bytes(path)
        except ManifestError as error:
            content = FileContent(problems=(error,), is_readable=False)
            return _Known(fingerprint, is_settled, b"", _with_last_good(content, former))
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if not data and former is not None and former.content.manifests:
            return self._emptied(path, fingerprint, former, digest)
        if former is not None and former.digest == digest:
            return replace(former, fingerprint=fingerprint, is_settled=is_settled)
        return _Known(fingerprint, is_settled, digest, _with_last_good(parse(path, data), former))

    def _emptied(self, path: str, fingerprint: _Fingerprint, former: _Known, digest: bytes) -> _Known:
        now_s = self._monotonic_s()
        emptied_at_s = former.emptied_at_s if former.emptied_at_s is not None else now_s
        left_s = emptied_at_s + EMPTIED_GRACE_S - now_s
        if left_s <= 0:
            return _Known(fingerprint, is_settled=False, digest=digest, content=FileContent())
        self._watcher.call_within(left_s)
        problem = ManifestError(
            path, f"is empty; its objects go away unless it is written within {EMPTIED_GRACE_S:g} s"
        )
        content = replace(former.content, problems=(problem,))
        return _Known(fingerprint, is_settled=False, digest=b"", content=content, emptied_at_s=emptied_at_s)

    def _give(self, manifests: tuple[Manifest, ...]) -> None:
        """Tell the store the difference to what it was told before."""
        stamp_s = max(int(self._now_s()), self._last_stamp_s + 1)
        given = {manifest.slot: self._current(manifest, stamp_s) for manifest in manifests}
        present = {
            slot: current.told
            for slot, current in given.items()
            if (former := self._given.get(slot)) is None or former.told is not current.told
        }
        absent = frozenset(self._given.keys() - given.keys())
        self._given = given
        if present or absent:
            self._store.apply(present, absent)

    def _current(self, manifest: Manifest, stamp_s: int) -> _Given:
        """Give what to tell of an object: the same as before where it says the same."""
        obj = manifest.obj
        former = self._given.get(manifest.slot)
        if former is None:
            self._last_stamp_s = stamp_s
            return _Given(obj, _stamped(obj, stamp_s), stamp_s)
        if former.read is obj:
            return former
        told = _stamped(obj, former.first_seen_s)
        return _Given(obj, former.told if told == former.told else told, former.first_seen_s)

    def _tell(self, problems: tuple[ManifestError, ...]) -> None:
        """Log problems that are new, and files that have none any more."""
        former = {str(problem): problem for problem in self._problems}
        current = {str(problem): problem for problem in problems}
        self._problems = tuple(
            sorted(current.values(), key=lambda problem: (problem.path, problem.line or 0, str(problem)))
        )
        for problem in self._problems:
            if str(problem) not in former:
                place = {"path": problem.path, "line": problem.line, "column": problem.column}
                self._log.warning("manifest problem", **place, problem=problem.problem)
        for path in sorted(
            {problem.path for problem in former.values()} - {problem.path for problem in self._problems}
        ):
            if os.path.lexists(path):
                self._log.info("manifest recovered", path=path)


def _with_last_good(content: FileContent, former: _Known | None) -> FileContent:
    """Put the last good objects in the place of those that cannot be used."""
    if former is None:
        return content
    if not content.is_readable:
        return replace(content, manifests=former.content.manifests)
    missing = content.refused - {manifest.slot for manifest in content.manifests}
    kept = tuple(manifest for manifest in former.content.manifests if manifest.slot in missing)
    return replace(content, manifests=(*content.manifests, *kept)) if kept else content


def _stamped(obj: KubernetesObject, first_seen_s: int) -> KubernetesObject:
    """Give the object with a creationTimestamp, as the API server gives one to each."""
    if obj.metadata.creation_timestamp is not None:
        return obj
    created = datetime.fromtimestamp(first_seen_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return msgspec.structs.replace(obj, metadata=msgspec.structs.replace(obj.metadata, creation_timestamp=created))
