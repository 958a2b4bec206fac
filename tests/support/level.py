"""Whether a router on a cluster is level with it: what it says, what it serves, and what it wrote on the Routes."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import msgspec

from router.admission import Admission, Outcome, Verdict
from router.cluster.decoding import decode_object
from router.cluster.named_kinds import kinds
from router.model import RouteSection
from router.model.tls import PortTls
from router.objects.core import Service
from router.objects.credential import Credential
from router.objects.decoding import Misfit
from router.objects.discovery import EndpointSlice
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey
from router.objects.portclaim import PortClaim
from router.objects.route import Route
from router.objects.store import Store
from router.observe.ports import port_rows
from router.settings import AdmissionSettings, PortRanges
from tests.support.api_server import ApiServer
from tests.support.certificates import client_context
from tests.support.probing import is_refused, receive
from tests.support.router_process import RouterProcess, http_get

Address = tuple[str, int]

ROUTER_NAME = "tcp-router"
_KINDS: Mapping[str, type[KubernetesObject]] = {
    "Route": Route,
    "Service": Service,
    "EndpointSlice": EndpointSlice,
    "PortClaim": PortClaim,
}
_SETTINGS = AdmissionSettings(
    router_name=ROUTER_NAME, ports=PortRanges(((1, 65535),)), sni_port=0, allow_loopback_endpoints=True
)
NO_NAME = ""
"""In the place of a host: over TLS, and no name is told."""
_COUNTED = dict.fromkeys(("sessions", "servers_up", "connections", "bytes_in", "bytes_out"))
"""What of a row is counted, and nothing that objects say."""
_PING = b"still there?"
_PAUSE_S = 0.1
_TIMEOUT_S = 5.0
CLIENT_ADDRESSES = ("127.0.0.1", "127.0.0.3")
"""Where connections come from, to see whom an allowlist lets in."""


@dataclass(frozen=True, slots=True)
class Level:
    """Compares a router (options as ``RouterProcess`` gives them) with the objects of its API server.

    ``pods`` says what the echo of each address is prefixed with; ``ports`` are all that Routes may ever have asked for.
    """

    api: ApiServer
    router: RouterProcess
    pods: Mapping[Address, bytes]
    ports: Iterable[int]
    settings: AdmissionSettings = _SETTINGS
    hosts: Iterable[str] = ()
    """All that Routes may ever have asked for on shared ports."""
    defaults: Credential | None = None
    """What Routes get that have no certificate of their own."""

    def wait(self, deadline_s: float = 60.0) -> None:
        """Wait until nothing differs.

        Raises:
            AssertionError: the deadline passed; the message has the differences.
        """
        ends_s = time.monotonic() + deadline_s
        while found := self.differences():
            assert time.monotonic() < ends_s, "\n".join([f"not level within {deadline_s} s:", *found])
            time.sleep(_PAUSE_S)

    def differences(self) -> list[str]:
        """Give what differs now, of the first that does: the table, the status of Routes, what is served."""
        outcome = rebuilt(self.api, self.settings, self.defaults)
        # What costs most last, and only where the rest is level.
        return (
            list(self._of_table(outcome))
            or list(self._of_status(outcome.verdicts.values()))
            or list(self._of_traffic(outcome))
        )

    def _of_table(self, outcome: Outcome) -> Iterator[str]:
        wanted = {
            f"{row['namespace']}/{row['name']}": row
            for row in json.loads(
                msgspec.json.encode(port_rows(outcome.verdicts, outcome.model, sni_port=self.settings.sni_port))
            )
        }
        found = self.router.ports()
        for key in sorted(wanted.keys() | found.keys()):
            was, now = ({**rows.get(key, {}), **_COUNTED} for rows in (wanted, found))
            if was != now:
                yield f"/ports, {key}: wanted {was}, found {now}"

    def _of_status(self, verdicts: Iterable[Verdict]) -> Iterator[str]:
        by_name = {verdict.asker.key: verdict for verdict in verdicts}
        for obj in self.api.list("Route"):
            metadata = obj["metadata"]
            verdict = by_name.get(ObjectKey(metadata["namespace"], metadata["name"]))
            entries = [e for e in obj.get("status", {}).get("ingress") or () if e["routerName"] == ROUTER_NAME]
            found = [[(c["type"], c["status"], c.get("reason", ""), c.get("message", "")) for c in e["conditions"]]
                     for e in entries]  # fmt: skip
            wanted = [_conditions(verdict)] if verdict is not None else []
            if found != wanted:
                yield f"status of {metadata['name']}: wanted {wanted}, found {found}"

    def _of_traffic(self, outcome: Outcome) -> Iterator[str]:
        sections = {section.backend.name: section for section in outcome.model.routes}
        own = {section.frontend.port: section for section in sections.values() if section.frontend is not None}
        shared = {frontend.port: frontend for frontend in outcome.model.shared}
        for port in sorted({*self.ports} - own.keys() - shared.keys()):
            if not is_refused(port):
                yield f"port {port} is open, and no Route has it"
        for port, section in own.items():
            tls = section.frontend.tls if section.frontend is not None else None
            yield from self._of_section(section, port, NO_NAME if tls is not None else None, tls)
        for port, frontend in shared.items():
            for host in frontend.hosts:
                name = f"any{host.host}" if host.host.startswith(".") else host.host
                yield from self._of_section(sections[host.backend], port, name, host.tls)
            known = {host.host for host in frontend.hosts}
            for name in self.hosts:
                if not known & {name, f".{name.partition('.')[2]}"} and (got := answer(port, host=name)):
                    yield f"port {port}: {name}, which no Route has, was answered {got!r}"

    def _of_section(
        self, section: RouteSection, port: int, host: str | None = None, tls: PortTls | None = None
    ) -> Iterator[str]:
        serving = {self.pods[s.address, s.port] + b"ping" for s in section.backend.servers if s.weight > 0} or {b""}
        allowlist = section.backend.allowlist
        for source in CLIENT_ADDRESSES if allowlist is not None else CLIENT_ADDRESSES[:1] * 2:
            wanted = serving if allowlist is None or is_in(source, allowlist) else {b""}
            shown: list[str] = []
            got = answer(port, source, host, shown)
            if tls is not None and shown and shown != [tls.certificate.fingerprint]:
                yield f"port {port}, {host or 'no name'}: wanted the certificate {tls.certificate.fingerprint}, was shown {shown}"
            if got not in wanted:
                yield f"port {port}{f', {host}' if host else ''}, from {source}: wanted one of {wanted}, got {got!r}"


def rebuilt(api: ApiServer, settings: AdmissionSettings = _SETTINGS, defaults: Credential | None = None) -> Outcome:
    """Decide about the server's objects from nothing, which is what defines what is right."""
    store = Store()
    for kind, struct in _KINDS.items():
        for obj in api.list(kind):
            decoded = decode_object(struct, json.dumps(obj).encode())
            assert not isinstance(decoded, Misfit), decoded
            store.put(decoded)
    for secret in api.list("Secret"):
        named, _ = kinds("")(ObjectKey(secret["metadata"]["namespace"], secret["metadata"]["name"]))
        store.put(named.read(json.dumps(secret).encode()))
    if defaults is not None:
        store.put(defaults)
    store.take()
    return Admission(settings).update(store.objects, store.objects.everything())


def _conditions(verdict: Verdict) -> list[tuple[str, str, str, str]]:
    if verdict.reason is not None:
        return [("Admitted", "False", str(verdict.reason), verdict.message)]
    admitted = ("Admitted", "True", "", "")
    return [admitted] if verdict.port is None else [admitted, ("PortClaimed", "True", "", str(verdict.port))]


def answer(
    port: int, source: str = CLIENT_ADDRESSES[0], host: str | None = None, shown: list[str] | None = None
) -> bytes | None:
    """Give what a connection is answered to ``ping``, over TLS with a ``host``; ``shown`` gets the fingerprint of the certificate.

    Nothing where it is closed at once; None where it is refused.
    """
    try:
        with connect(port, source, host) as connection:
            if shown is not None and isinstance(connection, ssl.SSLSocket):
                shown.append(hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest())
            connection.sendall(b"ping")
            return receive(connection, len(b"ping"))
    except ConnectionRefusedError:
        return None
    # ssl.SSLError is one, and so is a timeout: HAProxy closes what it does not serve.
    except OSError:
        return b""


def connect(port: int, source: str = CLIENT_ADDRESSES[0], host: str | None = None) -> socket.socket:
    """Connect to a port, over TLS where a ``host`` is given, and without telling it where that is ``NO_NAME``."""
    plain = socket.socket()
    # Wrapped before it is connected: of one that is reset in between Python would lose the socket, unclosed.
    sock = plain if host is None else client_context().wrap_socket(plain, server_hostname=host or None)
    try:
        sock.settimeout(_TIMEOUT_S)
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock


def is_in(address: str, networks: Iterable[str]) -> bool:
    """Whether an address is one of those, or in one of those networks."""
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks)


def metric(router: RouterProcess, name: str) -> float | None:
    """Give the value of a metric without labels; None where it is not shown."""
    lines = http_get(router.http_port, "/metrics")[1].splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), None)


@dataclass(slots=True)
class Watchman:
    """Watches in a thread that the router stays ready and that connections live on; a context manager.

    ``failures`` says what did not; ``failed`` is set by the first of them.
    """

    router: RouterProcess
    failures: list[str] = field(default_factory=list)
    failed: threading.Event = field(default_factory=threading.Event)
    _held: list[tuple[int, bytes, socket.socket]] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    looks: int = 0
    """How often it looked."""
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="watchman")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        for _, _, connection in self._held:
            connection.close()

    def hold(self, port: int, prefix: bytes) -> None:
        """Open a connection, and hold it: it must live as long as this."""
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        with self._lock:
            self._held.append((port, prefix, connection))

    def check(self) -> None:
        """Fail if anything did."""
        assert self.failures == []

    def _watch(self) -> None:
        while not self._done.wait(_PAUSE_S):
            self.looks += 1
            with self._lock:
                held = list(self._held)
            found = [*self._unready(), *(problem for each in held for problem in _dead(*each))]
            if found:
                self.failures += found
                self.failed.set()
                return

    def _unready(self) -> Iterator[str]:
        try:
            status, body = http_get(self.router.http_port, "/readyz")
        except OSError as error:
            yield f"/readyz: {error!r}"
        else:
            if status != 200:
                yield f"/readyz: {status} {body}"


def _dead(port: int, prefix: bytes, connection: socket.socket) -> Iterator[str]:
    wanted = prefix + _PING
    try:
        connection.sendall(_PING)
        got = receive(connection, len(wanted))
    except OSError as error:
        yield f"the connection held to port {port}: {error!r}"
    else:
        if got != wanted:
            yield f"the connection held to port {port}: {got!r}"
