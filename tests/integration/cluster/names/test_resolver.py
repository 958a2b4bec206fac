"""Names are looked up without a router, of a real server by UDP and TCP."""

from __future__ import annotations

import time
from collections.abc import Iterator

import dns.message
import dns.rcode
import dns.rrset
import pytest

from router.cluster.names.lookup import MAX_ALIASES, TRIES, Failed
from router.cluster.names.messages import FAMILIES, Absent, Addresses
from router.cluster.names.resolv_conf import Servers
from router.cluster.names.resolver import Answer, Resolver, resolve
from tests.support.dns_server import DnsServer

NAME = "db.example.com"
SOON_S = 1.2
"""What a lookup may take that is to fail."""
BOTH = {"A": ["192.0.2.2", "192.0.2.1"], "AAAA": ["2001:db8::1"]}


@pytest.fixture
def server() -> Iterator[DnsServer]:
    """A server that knows one name."""
    with DnsServer() as server:
        server.zone[NAME] = dict(BOTH)
        yield server


def test_both_families(server: DnsServer) -> None:
    """Addresses are sorted; a name that is not there and one without addresses are told apart."""
    server.zone["mail.example.com"] = {"TXT": ["nothing"]}
    found = resolve([NAME, "none.example.com", "mail.example.com"], [server.address])
    assert found[NAME] == {
        "A": Addresses(("192.0.2.1", "192.0.2.2"), 60),
        "AAAA": Addresses(("2001:db8::1",), 60),
    }
    assert found["none.example.com"] == dict.fromkeys(FAMILIES, Absent(60, exists=False))
    assert found["mail.example.com"] == dict.fromkeys(FAMILIES, Absent(60, exists=True))


def test_aliases_are_followed(server: DnsServer) -> None:
    """In one reply, and by further questions where a server gives but the alias; the least TTL counts."""
    server.zone["alias.example.com"] = {"CNAME": [f"{NAME}."]}
    assert resolve(["alias.example.com"], [server.address])["alias.example.com"]["A"] == Addresses(
        ("192.0.2.1", "192.0.2.2"), 60
    )

    def only_the_alias(reply: dns.message.Message) -> list[bytes]:
        if reply.question[0].name.to_text() == "alias.example.com.":
            del reply.answer[1:]
            reply.answer[0].update_ttl(7)
        return [reply.to_wire()]

    server.change = only_the_alias
    found = resolve(["alias.example.com"], [server.address])["alias.example.com"]
    assert found["A"] == Addresses(("192.0.2.1", "192.0.2.2"), 7)
    assert found["AAAA"] == Addresses(("2001:db8::1",), 7)


def test_aliases_have_an_end(server: DnsServer) -> None:
    """An alias of itself, in one reply or by one reply after the other, is a failure after a few questions."""
    server.zone["a.example.com"] = {"CNAME": ["b.example.com."]}
    server.zone["b.example.com"] = {"CNAME": ["a.example.com."]}
    assert isinstance(resolve(["a.example.com"], [server.address], SOON_S)["a.example.com"]["A"], Failed)
    server.asked.clear()

    def only_the_first(reply: dns.message.Message) -> list[bytes]:
        del reply.answer[1:]
        reply.authority.clear()
        reply.set_rcode(dns.rcode.NOERROR)
        return [reply.to_wire()]

    server.change = only_the_first
    began_s = time.monotonic()
    found = resolve(["a.example.com"], [server.address])["a.example.com"]["A"]
    assert found == Failed("too many aliases follow each other")
    assert len(server.asked) <= 2 * (MAX_ALIASES + 1)
    assert time.monotonic() - began_s < 5


def test_long_replies_come_by_tcp(server: DnsServer) -> None:
    """What is truncated by UDP is asked for again by TCP; more than a few hundred addresses are nobody's."""
    many = [f"198.51.100.{number}" for number in range(200)]
    server.zone[NAME] = {"A": many}
    server.truncates = True
    found = resolve([NAME], [server.address])[NAME]["A"]
    assert isinstance(found, Addresses)
    assert len(found.addresses) == 200
    assert (NAME, "A", "tcp") in server.asked
    server.zone[NAME] = {"A": [f"198.18.{number // 250}.{number % 250}" for number in range(2000)]}
    problem = resolve([NAME], [server.address], SOON_S)[NAME]["A"]
    assert isinstance(problem, Failed)


def test_servers_are_asked_in_turn(server: DnsServer) -> None:
    """One that is silent, or refuses, costs a moment; nobody has to answer for the second to be asked."""
    with DnsServer() as other:
        other.is_silent = True
        began_s = time.monotonic()
        assert isinstance(resolve([NAME], [other.address, server.address], 3.0)[NAME]["A"], Addresses)
        assert time.monotonic() - began_s < 3.0 / TRIES + 1
        with Resolver(Servers([other.address, server.address]), deadline_s=3.0) as resolver:
            answers, began_s = list[Answer](), time.monotonic()
            for asked in range(4):
                resolver.ask(NAME)
                while len(answers) < 2 * (asked + 1):
                    answers += resolver.step(1)
            # Who is silent is asked by the first lookups alone.
            assert time.monotonic() - began_s < 3.0 / TRIES + 1
        other.is_silent, other.rcode = False, dns.rcode.SERVFAIL
        began_s = time.monotonic()
        assert isinstance(resolve([NAME], [other.address, server.address])[NAME]["A"], Addresses)
        assert time.monotonic() - began_s < 1


@pytest.mark.parametrize(
    ("rcode", "problem"),
    [(None, "no answer in time"), (dns.rcode.SERVFAIL, "SERVFAIL"), (dns.rcode.REFUSED, "REFUSED")],
    ids=str,
)
def test_a_lookup_has_a_deadline(server: DnsServer, rcode: dns.rcode.Rcode | None, problem: str) -> None:
    """Nobody says anything: that is a failure when its time is over, with what was last heard; few questions were asked."""
    server.rcode, server.is_silent = rcode, rcode is None
    began_s = time.monotonic()
    assert resolve([NAME], [server.address], SOON_S)[NAME] == dict.fromkeys(FAMILIES, Failed(problem))
    assert SOON_S - 0.1 < time.monotonic() - began_s < SOON_S + 2
    assert len(server.asked) <= 2 * 5


def test_nobody_there() -> None:
    """A server that is not there, and none at all, are failures with their reason."""
    with DnsServer() as gone:
        pass
    assert resolve([NAME], [gone.address], SOON_S)[NAME]["A"] == Failed("Connection refused")
    # Nothing can be sent there, which is found out at once.
    out_of_reach = ("127.0.0.1", 0)
    with DnsServer() as there:
        there.zone[NAME] = dict(BOTH)
        began_s = time.monotonic()
        found = resolve([NAME], [gone.address, out_of_reach, there.address], 9.0)
        assert isinstance(found[NAME]["A"], Addresses)
        assert time.monotonic() - began_s < 2
    with Resolver(tuple) as resolver:
        resolver.ask(NAME)
        assert {answer.outcome for answer in resolver.step(1)} == {Failed("there is no DNS server to ask")}


def test_a_server_of_before_edns(server: DnsServer) -> None:
    """It is asked again as it likes it."""
    server.edns = False
    assert isinstance(resolve([NAME], [server.address])[NAME]["A"], Addresses)


def test_forged_replies_are_passed_over(server: DnsServer) -> None:
    """Another id, another question, or no DNS at all: the real reply, which comes after, counts."""
    forged = dns.rrset.from_text(f"{NAME}.", 60, "IN", "A", "203.0.113.66")

    def first_others(reply: dns.message.Message) -> list[bytes]:
        other_id = dns.message.from_wire(reply.to_wire())
        other_id.id ^= 1
        other_id.answer = [forged]
        other_question = dns.message.make_response(dns.message.make_query("evil.example.com", "A", id=reply.id))
        other_question.answer = [forged]
        return [other_id.to_wire(), other_question.to_wire(), b"\x00", b"GET / HTTP/1.0\r\n\r\n", reply.to_wire()]

    server.change = first_others
    assert resolve([NAME], [server.address])[NAME]["A"] == Addresses(("192.0.2.1", "192.0.2.2"), 60)


def test_records_of_others_in_a_reply_are_nobodys_word(server: DnsServer) -> None:
    """An address of another name beside the alias is not taken."""

    def with_another(reply: dns.message.Message) -> list[bytes]:
        kind = dns.rdatatype.to_text(reply.question[0].rdtype)
        if kind == "A":
            reply.answer.append(dns.rrset.from_text("evil.example.com.", 60, "IN", "A", "203.0.113.66"))
        return [reply.to_wire()]

    server.change = with_another
    assert resolve([NAME], [server.address])[NAME]["A"] == Addresses(("192.0.2.1", "192.0.2.2"), 60)


def test_a_referral_is_no_answer(server: DnsServer) -> None:
    """A server that looks nothing up says nothing about whether there is such a name."""
    server.zone[NAME] = {}
    server.authority = [dns.rrset.from_text("com.", 60, "IN", "NS", "a.gtld-servers.net.")]
    found = resolve([NAME], [server.address], SOON_S)[NAME]["A"]
    assert found == Failed("a referral: that server looks no names up")


def test_many_names_at_a_time(server: DnsServer) -> None:
    """A thousand names take seconds, though no more than some are asked for at a time; one that nobody answers holds up no other."""
    names = [f"n{number}.example.com" for number in range(1000)]
    server.zone.update({name: {"A": ["192.0.2.1"]} for name in names})
    began_s = time.monotonic()
    with Resolver(Servers([server.address]), most=64) as resolver:
        for name in names:
            resolver.ask(name)
        left = 2 * len(names)
        while left and time.monotonic() - began_s < 60:
            left -= len(resolver.step(1))
    assert not left


def test_a_step_ends_when_somebody_rings(server: DnsServer) -> None:
    """It does not wait for its time, nor for a server that is silent."""
    server.is_silent = True
    with Resolver(Servers([server.address])) as resolver:
        resolver.ask(NAME)
        resolver.wake()
        began_s = time.monotonic()
        assert resolver.step(30) == []
        assert time.monotonic() - began_s < 1
