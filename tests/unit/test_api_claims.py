"""The API server of tests treats PortClaims as a real one does whose CRD was applied."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.api_server import ApiServer, StatusError
from tests.support.kube.resources import PORT_CLAIMS
from tests.support.objects import port_claim

WON = port_claim("tcp-router-15432", 15432, holder=("Route", "shop", "db"))


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server with a claim."""
    with ApiServer() as api:
        api.create(WON)
        yield api


@contextlib.contextmanager
def refused(code: int, said: str) -> Iterator[None]:
    """Expect a failure."""
    with pytest.raises(StatusError, match=said) as caught:
        yield
    assert caught.value.code == code


def test_defaults_generations_and_a_status_apart(server: ApiServer) -> None:
    """What was left out is filled in; the generation counts changes of the spec, and a status is written by itself."""
    made = server.get("PortClaim", "openshift-ingress", "tcp-router-15432")
    assert made is not None
    assert (made["spec"]["address"], made["spec"]["holder"]["section"], made["metadata"]["generation"]) == ("", "", 1)

    def told(obj: dict[str, object]) -> dict[str, object]:
        return {**obj, "status": {"holder": "Route shop/db"}}

    stored = server.storage.update(PORT_CLAIMS, "openshift-ingress", "tcp-router-15432", told, subresource="status").obj
    assert (stored["status"]["holder"], stored["metadata"]["generation"]) == ("Route shop/db", 1)
    changed = server.get("PortClaim", "openshift-ingress", "tcp-router-15432") or {}
    changed["spec"]["origin"] = "Reserved"
    assert server.update(changed)["metadata"]["generation"] == 2


def test_rules_are_kept(server: ApiServer) -> None:
    """Of the schema, and of changes; and of two that make the same claim one is told."""
    with refused(409, "already exists"):
        server.create(WON)
    with refused(422, "names its holder"):
        server.create({**port_claim("other", 1), "spec": {"ledger": "tcp-router", "port": 1, "origin": "Won"}})
    made = server.get("PortClaim", "openshift-ingress", "tcp-router-15432")
    assert made is not None
    made["spec"]["port"] = 15433
    with refused(422, "spec.port: .*immutable"):
        server.update(made)
