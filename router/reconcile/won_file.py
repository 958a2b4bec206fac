"""What was won, kept in the state directory where the input is a folder, which has nobody to write PortClaims to.

It is read when the router starts, and counts as what this router served before: a Route keeps its port over a restart though
an older one asks for it, too. It is written off the hot path, within a second after a change.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from router import owned, shapes
from router.admission import Verdict
from router.admission.places import Place
from router.admission.verdicts import different
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.shapes import reader
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_QUIET_S = 0.7
"""How long changes are gathered before the file is written."""
_STOPS_WITHIN_S = 2.0


class _Won(msgspec.Struct, frozen=True):
    port: int
    host: str
    holder: Asker
    address: str = ""


_read = reader(tuple[_Won, ...])


def read_won(path: Path) -> Mapping[Place, Asker]:
    """Give what was won when the file was written; nothing where there is none that can be trusted and read."""
    try:
        content = owned.read_file(path)
        won = _read(content) if content is not None else ()
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        log.warning("what was won is not known", path=str(path), problem=str(error))
        return {}
    return {Place(each.port, each.host, each.address): each.holder for each in won}


class WonFile:
    """Keeps the file level, on a thread of its own; ``update`` comes from the reconcile thread.

    Args:
        path: the file.
        won: what it says now.
        supervisor: owns the thread.
    """

    def __init__(self, path: Path, won: Mapping[Place, Asker], supervisor: Supervisor = SUPERVISOR) -> None:
        self._path = path
        self._won = dict(won)
        self._verdicts: Mapping[Asker, Verdict] = {}
        self._condition = threading.Condition()
        self._is_level = True
        self._is_stopping = False
        self._thread = supervisor.own("claims file", self._run, ask_to_end=self._ask_to_end)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and end."""
        self._thread.stop(_STOPS_WITHIN_S)

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:  # noqa: ARG002 - of all reporters
        """Take the outcome of a turn."""
        if not snapshot.configured:
            return
        former, self._verdicts = self._verdicts, snapshot.verdicts
        concerned = different(former, snapshot.verdicts)
        if not concerned:
            return
        with self._condition:
            for asker in concerned:
                for place in former[asker].places if asker in former else ():
                    if self._won.get(place) == asker:
                        del self._won[place]
            for asker in concerned:
                verdict = snapshot.verdicts.get(asker)
                self._won.update(dict.fromkeys(verdict.places if verdict is not None else (), asker))
            self._is_level = False
            self._condition.notify_all()

    def _ask_to_end(self) -> None:
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()

    def _run(self) -> None:
        while not self._is_stopping:
            with self._condition:
                self._condition.wait_for(lambda: self._is_stopping or not self._is_level)
                self._condition.wait_for(lambda: self._is_stopping, _QUIET_S)
            self._write()

    def _write(self) -> None:
        with self._condition:
            if self._is_level:
                return
            self._is_level = True
            won = sorted(self._won.items())
        beside = self._path.with_name(f"{self._path.name}.new")
        content = shapes.write([_Won(place.port, place.host, holder, place.address) for place, holder in won])
        try:
            owned.write_file(beside, content, sync=True)
            beside.replace(self._path)
        except OSError as error:
            log.warning("what was won is not written", path=str(self._path), problem=str(error))
            with self._condition:
                self._is_level = False
