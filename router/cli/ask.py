"""Ask a running router over HTTP, on whatever connection leads to it."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from typing import Any

from router.errors import RouterUnreachable

Reply = tuple[int, bytes]
"""Status and body."""


class _Over(http.client.HTTPConnection):
    """An HTTP connection on a socket that somebody else made."""

    def __init__(self, sock: Any) -> None:
        super().__init__("router")
        self.sock = sock


def ask(
    sock: Any, path: str, headers: Mapping[str, str] | None = None, *, problem: Callable[[], str] = lambda: ""
) -> Reply:
    """Send a GET for ``path``, and give what is answered.

    Args:
        sock: a connected socket, or what behaves as one; its timeout is the deadline of each step.
        path: such as ``/ports``.
        headers: what to say beside it.
        problem: gives what the connection's maker knows of its failure.

    Raises:
        RouterUnreachable: no answer, or none of HTTP.
    """
    connection = _Over(sock)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException) as error:
        said = (
            "no answer within the deadline" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        )
        raise RouterUnreachable(problem() or said) from error
    finally:
        connection.close()
