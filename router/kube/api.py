"""What the rest of the router asks of an API server; ``router.kube.connection`` does it with the kubernetes client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

Query = Mapping[str, str]


class Stream(Protocol):
    """The body of an answer that does not end soon: a watch."""

    def lines(self) -> Iterator[bytes]:
        """Give whole lines as they come, until the server ends the stream.

        Raises:
            ApiUnreachable: cut, or silent for longer than the read deadline.
        """

    def close(self) -> None:
        """End it from any thread; a reader that waits for a line wakes at once."""


class Api(Protocol):
    """One API server. Calls have deadlines, may come from any thread, and raise ``ApiError`` and those below it.

    On ``ApiUnauthorized`` nobody has to do anything: the credentials were read again, and are not accepted all the same.
    """

    def get(self, path: str, query: Query | None = None) -> bytes:
        """GET a path such as ``/api/v1/services``; give the body."""

    def answer(self, path: str, query: Query, silence_s: float) -> AbstractContextManager[Iterator[bytes]]:
        """GET a path; give the body piece by piece as it comes, silent for at most ``silence_s`` seconds.

        What the iterator gives until its end is the whole body; ApiUnreachable where it was cut.
        """

    def watch(self, path: str, query: Query, read_timeout_s: float) -> AbstractContextManager[Stream]:
        """GET a path as a stream, silent for at most ``read_timeout_s`` seconds; the query has ``watch=true`` and more."""

    def patch(self, path: str, body: bytes, content_type: str) -> bytes:
        """PATCH an object or its ``/status``; ``content_type`` says which kind of patch the body is."""

    def post(self, path: str, body: bytes) -> bytes:
        """POST a new object as JSON."""

    def put(self, path: str, body: bytes) -> bytes:
        """PUT an object as JSON."""


class DeletingApi(Api, Protocol):
    """An ``Api`` for who may delete."""

    def delete(self, path: str, body: bytes) -> bytes:
        """DELETE an object; the body is meta/v1 DeleteOptions, with what it must be."""


class StoppableApi(Api, Protocol):
    """An ``Api`` of one's own, for who must be able to end calls that are under way."""

    def close(self) -> None:
        """End the calls that are under way, from any thread; later ones raise ApiUnreachable."""
