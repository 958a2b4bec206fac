"""What is known of a cluster, by its watches and by the answers to writes, in whatever order they come."""

from __future__ import annotations

from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.portclaim import ClaimHolder, PortClaim, PortClaimSpec
from router.pair.objects import PairMeta, PairObject
from router.pair.seen import Seen


def _claim(version: int, uid: str = "1") -> PairObject:
    return PairObject(PairMeta(name="db", namespace="shop", uid=uid, resource_version=str(version)))


def _held(name: str, port: int, *, ledger: str = "tcp-router", end: int | None = None) -> PortClaim:
    holder = ClaimHolder("porter.devops.gov.bc.ca", "TransportServerClaim", "shop", "db")
    spec = PortClaimSpec(ledger, port, "Reserved", port_end=end, holder=holder)
    return PortClaim(ObjectMeta(name=name, namespace="r", uid=name, resource_version="5"), spec)


def test_an_answer_that_comes_after_the_deletion_brings_nothing_back() -> None:
    """The watch may tell of a deletion before the answer to the write that came before it is read."""
    seen = Seen("tcp-router", lambda _: None)
    seen.put("transportserverclaims", _claim(5))
    seen.delete("transportserverclaims", ObjectKey("shop", "db"))
    seen.put("transportserverclaims", _claim(6))
    assert seen.claim("shop", "db") is None
    seen.put("transportserverclaims", _claim(9, uid="2"))
    assert seen.claim("shop", "db") == _claim(9, uid="2")
    seen.replace("transportserverclaims", [], [])
    seen.put("transportserverclaims", _claim(10, uid="2"))
    assert seen.claim("shop", "db") is None


def test_a_deletion_that_is_told_late_takes_nothing_newer_away() -> None:
    """The answer to the creation of another one of that name comes before the watch tells that the former one went."""
    seen = Seen("tcp-router", lambda _: None)
    seen.put("transportserverclaims", _claim(5))
    seen.put("transportserverclaims", _claim(8, uid="2"))
    seen.delete("transportserverclaims", ObjectKey("shop", "db"), version="7")
    assert seen.claim("shop", "db") == _claim(8, uid="2")
    seen.delete("transportserverclaims", ObjectKey("shop", "db"), uid="1")
    assert seen.claim("shop", "db") == _claim(8, uid="2")
    seen.put("transportserverclaims", _claim(9, uid="2"))
    assert seen.claim("shop", "db") == _claim(9, uid="2")
    seen.delete("transportserverclaims", ObjectKey("shop", "db"), version="10")
    assert seen.claim("shop", "db") is None
    seen.put_port_claim(_held("a", 31000))
    seen.delete_port_claim("a", version="4")
    seen.delete_port_claim("a", uid="b")
    assert seen.corner("shop", is_connected=True).taken
    seen.delete_port_claim("a", version="6", uid="a")
    assert not seen.corner("shop", is_connected=True).taken


def test_what_is_older_than_what_is_known_is_passed_over() -> None:
    """And what cannot be read in a list stays as it was."""
    seen = Seen("tcp-router", lambda _: None)
    seen.put("transportserverclaims", _claim(9))
    seen.put("transportserverclaims", _claim(10))
    seen.put("transportserverclaims", _claim(9))
    assert seen.claim("shop", "db") == _claim(10)
    seen.replace("transportserverclaims", [], [ObjectKey("shop", "db")])
    assert seen.claim("shop", "db") == _claim(10)


def test_ports_are_taken_while_there_are_port_claims_of_them() -> None:
    """Of our ledger alone, ranges too, and as long as the last one of a port is there."""
    told: list[str | None] = []
    seen = Seen("tcp-router", told.append)
    seen.put_port_claim(_held("a", 31000))
    seen.put_port_claim(_held("b", 31000))
    seen.put_port_claim(_held("range", 31004, end=31006))
    seen.put_port_claim(_held("other", 31009, ledger="other"))
    assert "shop" in told

    def taken() -> int:
        return seen.corner("shop", is_connected=True).taken

    assert taken() == 1 << 31000 | 0b111 << 31004
    seen.delete_port_claim("a")
    seen.delete_port_claim("range")
    assert taken() == 1 << 31000
    assert [each.metadata.name for each in seen.corner("shop", is_connected=True).port_claims["db"]] == ["b"]
    seen.replace_port_claims({"c": _held("c", 31001)}, ["b"])
    assert taken() == 0b11 << 31000
    seen.replace_port_claims({}, [])
    assert taken() == 0
    assert seen.corner("shop", is_connected=True).port_claims == {}
