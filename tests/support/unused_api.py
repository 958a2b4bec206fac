"""An API server that must not be asked: what a test's own one does not answer to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from router.kube.api import Query, Stream


class UnusedApi:
    """Fails at each call."""

    def get(self, path: str, query: Query | None = None) -> bytes:
        """Fail."""
        raise AssertionError(f"GET {path} {query}")

    def answer(self, path: str, query: Query, silence_s: float) -> AbstractContextManager[Iterator[bytes]]:
        """Fail."""
        raise AssertionError(f"GET {path} {query} {silence_s}")

    def watch(self, path: str, query: Query, read_timeout_s: float) -> AbstractContextManager[Stream]:
        """Fail."""
        raise AssertionError(f"WATCH {path} {query} {read_timeout_s}")

    def patch(self, path: str, body: bytes, content_type: str) -> bytes:
        """Fail."""
        raise AssertionError(f"PATCH {path} {body!r} {content_type}")

    def post(self, path: str, body: bytes) -> bytes:
        """Fail."""
        raise AssertionError(f"POST {path} {body!r}")

    def put(self, path: str, body: bytes) -> bytes:
        """Fail."""
        raise AssertionError(f"PUT {path} {body!r}")

    def delete(self, path: str, body: bytes) -> bytes:
        """Fail."""
        raise AssertionError(f"DELETE {path} {body!r}")
