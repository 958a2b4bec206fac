"""A list that is read while it is not known yet what of it is wanted.

Which Services are wanted is known when Routes are listed, and whose endpoints when Services are. The API server has these lists ready by then, and this
router has read them, where all are asked for at the same time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import msgspec

from router.cluster.decoding import Head
from router.cluster.reflector import Sink
from router.objects.meta import ObjectKey

_MOST_BYTES = 8 << 20
"""Of objects that are kept as they came, most of which may be nobody's here; the API server waits with what is more."""
_LONGEST_S = 20.0
"""Who waits longer takes what is known to be wanted by then; objects of all others are fetched."""

Ahead = Callable[[tuple[msgspec.Raw, ...]], None]


def _nothing(items: tuple[msgspec.Raw, ...]) -> None:
    """Prepare for nothing."""


class HeldBack:
    """A sink that gives what is listed to another one, in order, once something is known; not before the list's end if need be.

    Args:
        sink: takes it.
        known: is set when it may have it.
        most_bytes: of objects that are kept meanwhile; with more, whoever lists has to wait.
        longest_s: after so many seconds it gets it all the same.
        ahead: is told what waits, to be prepared for it; who waits has nothing else to do.
    """

    def __init__(
        self,
        sink: Sink,
        known: threading.Event,
        *,
        most_bytes: int = _MOST_BYTES,
        longest_s: float = _LONGEST_S,
        ahead: Ahead = _nothing,
    ) -> None:
        self._sink = sink
        self._known = known
        self._most_bytes = most_bytes
        self._longest_s = longest_s
        self._ahead = ahead
        self._waiting: list[Callable[[], None]] = []
        self._bytes = 0

    def begin_list(self) -> None:
        """Begin to list; forget what was kept of a list that did not come to its end."""
        self._waiting, self._bytes = [], 0
        self._sink.begin_list()

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take objects of the list."""
        self._waiting.append(partial(self._sink.add_page, items))
        self._bytes += sum(memoryview(item).nbytes for item in items)
        if not self._known.is_set() and self._bytes <= self._most_bytes:
            self._ahead(items)
        if self._bytes > self._most_bytes:
            self._known.wait(self._longest_s)
        if self._known.is_set() or self._bytes > self._most_bytes:
            self._pass_on()

    def leave_out(self, key: ObjectKey) -> None:
        """Take no object of this key for one of the list, as far as it has come."""
        self._waiting.append(partial(self._sink.leave_out, key))

    def end_list(self, resource_version: str) -> None:
        """Take what was listed for all that there is."""
        self._known.wait(self._longest_s)
        self._pass_on()
        self._sink.end_list(resource_version)

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take an object that was added or changed, or (None) deleted."""
        self._sink.apply(head, raw)

    def _pass_on(self) -> None:
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        for each in waiting:
            each()
