"""Whether the Service that a PortClaim names still asks for its port, as the API server says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.admission.options import EXTERNAL_TCP_PORT, ROUTER_NAME
from router.admission.places import Place
from router.errors import ApiNotFound
from router.kube.api import Query
from router.model import Asker
from router.settings import AdmissionSettings, PortRanges
from router.status.holders import Holders
from tests.support.objects import service
from tests.support.unused_api import UnusedApi

HOLDER = Asker("", "Service", "team", "db", "tcp", "u1")


class OneService(UnusedApi):
    """An API server that has one Service, or none."""

    def __init__(self, body: dict[str, Any] | None) -> None:
        self._body = body

    def get(self, path: str, query: Query | None = None) -> bytes:  # noqa: ARG002 - as any API server
        """Give it, or the collection that it is not in."""
        if path == "/api/v1/namespaces/team/services":
            return b'{"items": []}'
        assert path == "/api/v1/namespaces/team/services/db"
        if self._body is None:
            raise ApiNotFound("not found", status=404)
        return json.dumps(self._body).encode()


@pytest.mark.parametrize(
    ("asks", "uid", "router", "holds"),
    [
        ("tcp=15432", "u1", "tcp-router", True),
        ("tcp=15433", "u1", "tcp-router", False),
        ("15432", "u1", "tcp-router", False),
        ("tcp=15432", "u2", "tcp-router", False),
        ("tcp=15432", "u1", "another", False),
        ("tcp=", "u1", "tcp-router", True),
        (None, "u1", "tcp-router", False),
    ],
    ids=["asks", "another port", "for no name", "made again", "another router", "with a mistake", "gone"],
)
def test_a_service_asks_for_what_it_holds(asks: str | None, uid: str, router: str, holds: bool) -> None:  # noqa: FBT001 - a column
    """By uid, router, name of its port and external port; a mistake in the annotation is no giving up."""
    body = service("db")
    body["metadata"] |= {"uid": uid, "annotations": {ROUTER_NAME: router, EXTERNAL_TCP_PORT: asks}}
    api = OneService(body if asks is not None else None)
    assert Holders(api, AdmissionSettings()).asks(HOLDER, Place(15432)) is holds


@pytest.mark.parametrize(
    ("auto_ports", "place", "is_spare", "holds"),
    [
        ("15000-15999", Place(15432), False, True),
        ("15000-15999", Place(16432), False, True),
        ("15000-15999", Place(15432), True, False),
        ("15000-15999", Place(15432, "db.example.com"), False, False),
        ("15000-15999", Place(15432, "", "other"), False, False),
        ("", Place(15432), False, True),
    ],
    ids=[
        "asks",
        "for whatever it has",
        "has another",
        "a host on it",
        "on another address",
        "nothing is given any more",
    ],
)
def test_who_asks_for_any_port_asks_for_the_one_that_it_has(
    auto_ports: str,
    place: Place,
    is_spare: bool,  # noqa: FBT001 - a column
    holds: bool,  # noqa: FBT001 - a column
) -> None:
    """Whichever it is, unless it is served on another one."""
    body = service("db")
    body["metadata"] |= {"uid": "u1", "annotations": {ROUTER_NAME: "tcp-router", EXTERNAL_TCP_PORT: "tcp=auto"}}
    settings = AdmissionSettings(auto_ports=PortRanges.parse(auto_ports))
    assert Holders(OneService(body), settings).asks(HOLDER, place, is_spare=is_spare) is holds
