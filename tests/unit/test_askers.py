"""Askers: how they are written and named."""

from __future__ import annotations

import pytest

from router.model import Asker, backend_name

_ROUTE = Asker.route("shop", "db", "u1")
_SERVICE = Asker("", "Service", "shop", "db", "", "u2")
_PORT = Asker("", "Service", "shop", "db", "pg", "u2")
_LISTENER = Asker("gateway.networking.k8s.io", "Gateway", "shop", "db", "pg", "u3")


@pytest.mark.parametrize(
    ("asker", "written", "backend"),
    [
        (_ROUTE, "Route shop/db", "be_tcp:shop:db"),
        (_SERVICE, "Service shop/db", "be_tcp:shop:service_db"),
        (_PORT, "Service shop/db port pg", "be_tcp:shop:service_db_pg"),
        (_LISTENER, "Gateway shop/db listener pg", "be_tcp:shop:gateway_db_pg"),
    ],
    ids=["route", "service", "port of a service", "listener"],
)
def test_names(asker: Asker, written: str, backend: str) -> None:
    """People read kind and name of an asker, HAProxy's names keep kinds apart and those of Routes as they were."""
    assert str(asker) == written
    assert backend_name(asker) == backend


def test_two_askers_of_one_namespace_and_name_have_two_names() -> None:
    """A Route ``shop/db``, a Service of that name, and the Route ``db`` in a namespace named ``service`` are three backends."""
    askers = (_ROUTE, _SERVICE, _PORT, Asker.route("service", "shop"), Asker("", "Service", "service", "shop"))
    assert len({backend_name(each) for each in askers}) == len(askers)


def test_an_object_that_was_made_again_is_another_asker_of_the_same_order() -> None:
    """The uid tells two lives of one object apart, and never decides who comes first."""
    again = _ROUTE._replace(uid="u0")
    assert again != _ROUTE
    assert again.order == _ROUTE.order
