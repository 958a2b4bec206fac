"""Whether the Service that a PortClaim names still asks for its port, as the API server says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.admission.options import EXTERNAL_ADDRESS, EXTERNAL_TCP_PORT, ROUTER_NAME
from router.admission.places import Place
from router.errors import ApiNotFound
from router.kube.api import Query
from router.model import Asker
from router.objects.porter import CLAIM_KIND, GROUP
from router.settings import AdmissionSettings, NamedAddress, PortRanges
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


CLAIM = Asker(GROUP, CLAIM_KIND, "team", "tsc", "", "u1")
SPEC = {"service": "db", "servicePort": 5432}


class OneClaim(UnusedApi):
    """An API server that has one TransportServerClaim, or none."""

    def __init__(self, body: dict[str, Any] | None) -> None:
        self._body = body

    def get(self, path: str, query: Query | None = None) -> bytes:  # noqa: ARG002 - as any API server
        """Give it, or the collection that it is not in."""
        if path.endswith("/namespaces/team/transportserverclaims"):
            return b'{"items": []}'
        assert path == "/apis/porter.devops.gov.bc.ca/v1alpha1/namespaces/team/transportserverclaims/tsc"
        if self._body is None:
            raise ApiNotFound("not found", status=404)
        return json.dumps(self._body).encode()


@pytest.mark.parametrize(
    ("serves", "spec", "annotations", "place", "holds"),
    [
        ("default", SPEC, {}, Place(36_001), True),
        ("default", "nonsense", {}, Place(36_001), True),
        ("default", SPEC, {EXTERNAL_ADDRESS: "nowhere"}, Place(36_001, "", "pg"), True),
        ("default", SPEC, {EXTERNAL_ADDRESS: "pg"}, Place(36_001), False),
        ("default", SPEC, {ROUTER_NAME: "other"}, Place(36_001), False),
        ("named", SPEC, {}, Place(36_001), False),
        ("off", SPEC, {}, Place(36_001), True),
        ("default", None, {}, Place(36_001), False),
    ],
    ids=["asks", "mistaken", "at no address", "at another", "of another router", "of the default one", "option is off", "gone"],
)  # fmt: skip
def test_a_claim_asks_for_what_it_was_given(
    serves: Any,
    spec: Any,
    annotations: dict[str, str],
    place: Place,
    holds: bool,  # noqa: FBT001 - a column
) -> None:
    """Also where it is mistaken; and a router that serves no claims just now gives up none of their ports."""
    settings = AdmissionSettings(
        server_claims=serves, claim_ports=PortRanges.of(36_001), addresses={"pg": NamedAddress(ips=("192.0.2.10",))}
    )
    meta = {"name": "tsc", "namespace": "team", "uid": "u1", "annotations": annotations}
    body = {"metadata": meta, "spec": spec} if spec is not None else None
    assert Holders(OneClaim(body), settings).asks(CLAIM, place) is holds
