"""What is asked over HTTP, and what it is answered with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST

from router.observe.health import Health

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
METRICS = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Page:
    """What one request is answered with."""

    body: bytes
    content_type: str = TEXT
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = ()
    """What else is said before the body; ASCII, without line breaks."""
    streams: bool = False
    """The body is the beginning; what ``HttpServer.stream`` is given follows, until the client leaves."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a guard may know of a request."""

    authorization: str
    """The header of that name; empty where there is none."""
    is_tls: bool
    is_local: bool = False
    """It came over loopback: from this machine or pod, a port-forward included."""


Guard = Callable[[Request], Page | None]
"""Says how to refuse a request; None lets it through. Called on one of few threads, and may wait for its answer."""


def health_page(health: Health) -> Page:
    """Give a probe's answer: 200 ``ok`` with a line for each note, or 503 with a line for each problem and note."""
    if health.ok:
        return Page("".join(f"{line}\n" for line in ("ok", *health.notes)).encode())
    body = "".join(f"{line}\n" for line in (*health.problems, *health.notes)).encode()
    return Page(body, status=HTTPStatus.SERVICE_UNAVAILABLE)
