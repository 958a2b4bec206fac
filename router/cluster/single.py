"""The sink of a watch over one object."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from router.cluster.decoding import Head
from router.objects.meta import ObjectKey

See = Callable[[msgspec.Raw | None], None]
"""Takes the object as it is, as JSON; None where it does not exist."""


class SingleSink:
    """There is one object, or none.

    Args:
        see: is told of it.
    """

    def __init__(self, see: See) -> None:
        self._see = see
        self._has_listed = False

    def begin_list(self) -> None:
        """Begin to list."""
        self._has_listed = False

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take the one."""
        for raw in items:
            self._has_listed = True
            self._see(raw)

    def leave_out(self, key: ObjectKey) -> None:  # noqa: ARG002 - of one object
        """Take note that it went while it was listed."""
        self._has_listed = False

    def end_list(self, resource_version: str) -> None:  # noqa: ARG002 - events and lists come on one thread, in order
        """Take note where there is none."""
        if not self._has_listed:
            self._see(None)

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:  # noqa: ARG002 - of one object
        """Take it as it is now, or (None) that it was deleted."""
        self._see(raw)
