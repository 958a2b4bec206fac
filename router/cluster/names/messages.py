"""Questions to DNS servers, and what their replies say; pure.

A reply is read for what it says of the name that was asked for and of those that this is an alias of (RFC 1034, 3.6.2), and of
nothing else: whatever other records it has are nobody's word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

Family = Literal["A", "AAAA"]
FAMILIES: tuple[Family, ...] = ("A", "AAAA")
PAYLOAD = 1232
"""Bytes of a reply by UDP: what is sent unfragmented everywhere (DNS flag day 2020)."""
LARGEST = 8192
"""Bytes of a reply by TCP that are read: five hundred addresses."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The name has these, sorted."""

    addresses: tuple[str, ...]
    ttl_s: int
    """The least of all that lead there."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """It is an alias of a name of which the reply says nothing: that is asked for next."""

    name: str
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such name, or none with an address of this family."""

    ttl_s: int
    exists: bool
    """The name is there."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server does not say; another one may."""

    problem: str
    without_edns: bool = False
    """It may for a question of the form of before 1999 (RFC 6891, 7)."""


@dataclass(frozen=True, slots=True)
class Truncated:
    """It is too long for UDP."""


@dataclass(frozen=True, slots=True)
class Stray:
    """It is no reply to this question: whoever sent it, the real one may still come."""


Reply = Addresses | Elsewhere | Absent | Refused | Truncated | Stray


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    name: str
    family: Family
    id: int
    """Chosen at random, for who forges replies does not know it."""
    edns: bool = True

    def wire(self) -> bytes:
        """Give it as it is sent."""
        return _message(self).to_wire()


def _message(question: Question) -> dns.message.QueryMessage:
    return dns.message.make_query(
        _absolute(question.name),
        question.family,
        use_edns=0 if question.edns else -1,
        payload=PAYLOAD,
        id=question.id,
    )


def _absolute(name: str) -> dns.name.Name:
    return dns.name.from_text(name, origin=dns.name.root)


def read(question: Question, wire: bytes) -> Reply:
    """Read what came from the server that was asked."""
    try:
        reply = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        # Who cannot be understood may also be somebody else.
        return Stray()
    if not isinstance(reply, dns.message.QueryMessage) or not _message(question).is_response(reply):
        return Stray()
    if reply.flags & dns.flags.TC:
        return Truncated()
    code = reply.rcode()
    if code in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        return _said(question, reply)
    old = question.edns and code in {dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS}
    return Refused(dns.rcode.to_text(code), without_edns=old)


def _said(question: Question, reply: dns.message.QueryMessage) -> Reply:
    """Read a reply that says something of the name."""
    try:
        chain = reply.resolve_chaining()
    except (dns.exception.DNSException, ValueError) as error:
        return Refused(f"a reply that cannot be followed: {type(error).__name__}")
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return Absent(chain.minimum_ttl, exists=False)
    if chain.answer is not None:
        return Addresses(tuple(sorted({each.address for each in chain.answer})), chain.minimum_ttl)
    canonical = chain.canonical_name.canonicalize()
    authority = {each.rdtype for each in reply.authority}
    # Who knows that there is no address says so by the zone's SOA (RFC 2308, 2.2).
    says_none = dns.rdatatype.SOA in authority
    if dns.rdatatype.NS in authority and not says_none and not reply.flags & dns.flags.AA:
        return Refused("a referral: that server looks no names up")
    if says_none or canonical == _absolute(question.name).canonicalize():
        return Absent(chain.minimum_ttl, exists=True)
    return Elsewhere(canonical.to_text(omit_final_dot=True), chain.minimum_ttl)
