"""Ports that teams have today by TransportServers: reserved for who has them, and what is not to be believed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from router.admission.importing import Imports, imports
from router.admission.ledger import Ledger
from router.admission.places import Place
from router.model import Asker
from router.objects import cis, porter
from router.objects.cis import TransportServer
from router.objects.portclaim import ClaimHolder, PortClaim
from router.objects.porter import TransportServerClaim
from tests.unit.admission.builders import port_claim
from tests.unit.admission.test_transport_server_claims import claim
from tests.unit.admission.test_transport_servers import SERVING, server

OK = {"status": "OK", "vsAddress": "142.34.194.68"}


def made(name: str = "tsc", port: Any = 36_760, status: Any = OK, **more: Any) -> TransportServer:
    """Make a TransportServer that F5 serves."""
    return structs.replace(server(name, virtualServerPort=port, **more), status=status)


def imported(*objects: TransportServer | TransportServerClaim | PortClaim) -> Imports:
    """Give what is to be done about some objects."""
    ledger = Ledger(SERVING.ledger)
    for each in objects:
        if isinstance(each, PortClaim):
            ledger.put(each.metadata.name, each)
    servers = [each for each in objects if isinstance(each, TransportServer)]
    claims = {each.key: each for each in objects if isinstance(each, TransportServerClaim)}
    return imports(servers, claims, SERVING, ledger)


def of_claim(name: str = "tsc") -> Asker:
    """Give a claim as whom a port is reserved for."""
    return Asker(porter.GROUP, porter.CLAIM_KIND, "shop", name)


def test_what_porter_made_is_reserved_for_its_claim_and_the_rest_for_itself() -> None:
    """A claim has the router's own address, a TransportServer the one that it says."""
    found = imported(made(), claim(status={"port": "36760"}), made("own", 36_761))
    assert found.reserved == {
        Place(36_760): of_claim(),
        Place(36_761, "", "pg"): Asker(cis.GROUP, cis.KIND, "shop", "own"),
    }
    assert (found.doubts, found.there) == ((), {})


@pytest.mark.parametrize(
    ("objects", "problem"),
    [
        ((made(status={"status": "ERROR"}),), "its status is ERROR, and not Ok"),
        ((made(status=None),), "its status is empty, and not Ok"),
        ((made(port="x"),), "spec.virtualServerPort is no port"),
        ((made(port=80),), "port 80 is not allowed; allowed are 1024-65535"),
        ((made(), claim(status={"port": "36999"})), "it has port 36760, and the TransportServerClaim of its name was told 36999"),
        ((made("ts", ipamLabel="elsewhere"),), "spec.ipamLabel is 'elsewhere'"),
        ((made(), claim(), port_claim("x", 36_760, origin="Reserved")), "port 36760 is reserved for nobody by PortClaim x"),
        (
            (made(), claim(), port_claim("x", 36_760, Asker.route("shop", "db"))),
            "port 36760 is held by Route shop/db, by PortClaim x",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_doubtful_is_told_and_left(objects: Any, problem: str) -> None:
    """To an admin."""
    found = imported(*objects)
    assert not found.reserved
    (doubt,) = found.doubts
    assert problem in str(doubt)


def test_a_port_that_two_say_they_have_is_neither_s() -> None:
    """One of them may be forged."""
    found = imported(made("a"), claim("a"), made("b"), claim("b"))
    assert not found.reserved
    assert [str(each) for each in found.doubts] == [
        f"TransportServer shop/{name}: port 36760 is asked for by shop/a, shop/b; it can be one's alone"
        for name in "ab"
    ]


def test_what_is_theirs_already_is_left_as_it_is() -> None:
    """So that to run it again does no harm; what is no TCP is none of ours."""
    holder = ClaimHolder(porter.GROUP, porter.CLAIM_KIND, "shop", "tsc")
    again = imported(made(), claim(), port_claim("x", 36_760, holder, origin="Reserved"))
    assert (again.reserved, again.doubts, dict(again.there)) == ({}, (), {Place(36_760): of_claim()})
    won = imported(made(), claim(), port_claim("x", 36_760, of_claim()._replace(uid="u")))
    assert (won.reserved, won.doubts) == ({}, ())
    assert imported(made("udp", type="udp")) == Imports({}, {}, ())
