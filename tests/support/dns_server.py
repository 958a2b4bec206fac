"""A DNS server of a test's own, by UDP and TCP on loopback: what it says, and how it fails, can be changed while it runs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

SOA = "ns.example.com. admin.example.com. 1 7200 900 1209600 {}"


class DnsServer:
    """Answers for ``zone``: by name, then by type, the records' texts.

    Attributes:
        zone: what it says.
        ttl_s: of all records.
        rcode: said to everything; None is what the zone has.
        is_silent: it answers nothing.
        truncates: by UDP it gives no records, and says that there are more.
        edns: whether it takes questions with EDNS; if not, it answers FORMERR.
        change: gives what is sent by UDP in the place of its reply.
        asked: the questions that came: name, type, and "udp" or "tcp".
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.zone: dict[str, dict[str, list[str]]] = {}
        self.ttl_s = 60
        self.rcode: dns.rcode.Rcode | None = None
        self.is_silent = False
        self.truncates = False
        self.edns = True
        self.change: Callable[[dns.message.Message], Sequence[bytes]] | None = None
        self.authority: list[dns.rrset.RRset] | None = None
        self.asked: list[tuple[str, str, str]] = []
        self._tcp = socket.socket()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp.bind((address, 0))
        self._udp.bind(self._tcp.getsockname())
        self._tcp.listen(64)
        self.address: tuple[str, int] = self._tcp.getsockname()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._serve_udp, self._serve_tcp)]

    @property
    def shown(self) -> str:
        """Give its address as --resolver takes it."""
        return f"{self.address[0]}:{self.address[1]}"

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._tcp, self._udp):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def _serve_udp(self) -> None:
        while True:
            try:
                wire, client = self._udp.recvfrom(1 << 16)
            except OSError:
                return
            if not wire:
                # Shut down.
                return
            reply = self._reply(wire, "udp")
            if reply is None:
                continue
            for each in self.change(reply) if self.change is not None else (reply.to_wire(),):
                with contextlib.suppress(OSError):
                    self._udp.sendto(each, client)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                length = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
                reply = self._reply(connection.recv(length, socket.MSG_WAITALL), "tcp")
                if reply is not None:
                    answer = reply.to_wire(max_size=65535)
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def _reply(self, wire: bytes, transport: str) -> dns.message.Message | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, transport))
        if self.is_silent:
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        if query.edns >= 0 and not self.edns:
            reply = dns.message.make_response(query)
            reply.use_edns(-1)
            reply.set_rcode(dns.rcode.FORMERR)
            return reply
        if self.rcode is not None:
            reply.set_rcode(self.rcode)
            return reply
        if self.truncates and transport == "udp":
            reply.flags |= dns.flags.TC
            return reply
        self._fill(reply, name, kind)
        return reply

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        seen: set[str] = set()
        while name not in seen and (records := self.zone.get(name)) is not None and kind not in records:
            seen.add(name)
            if "CNAME" not in records:
                break
            reply.answer.append(dns.rrset.from_text(f"{name}.", self.ttl_s, "IN", "CNAME", *records["CNAME"]))
            name = records["CNAME"][0].removesuffix(".")
        records = self.zone.get(name)
        if records is not None and kind in records:
            reply.answer.append(dns.rrset.from_text(f"{name}.", self.ttl_s, "IN", kind, *records[kind]))
            return
        if self.authority is not None:
            reply.authority.extend(self.authority)
            return
        if records is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        reply.authority.append(dns.rrset.from_text("example.com.", self.ttl_s, "IN", "SOA", SOA.format(self.ttl_s)))
