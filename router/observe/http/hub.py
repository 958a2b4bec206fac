"""Where pieces of a stream are given, whichever server there is."""

from __future__ import annotations

from typing import Protocol


class Streams(Protocol):
    """A server that sends a stream."""

    streams: int
    """To how many clients."""

    def stream(self, piece: bytes) -> None:
        """Send a piece to all of them."""


class Hub:
    """Passes pieces on to a server, if there is any; from any thread."""

    def __init__(self) -> None:
        self._server: Streams | None = None

    def attach(self, server: Streams) -> None:
        """Have it send them from now on."""
        self._server = server

    @property
    def viewers(self) -> int:
        """How many clients the stream is sent to."""
        return self._server.streams if self._server is not None else 0

    def tell(self, piece: bytes) -> None:
        """Send a piece to all of them."""
        if self._server is not None:
            self._server.stream(piece)
