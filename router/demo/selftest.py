"""``demo --self-test``: uses every port as a client would, edits the manifests, and sees whether traffic follows."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from router.demo import client
from router.demo.gateway import GATEWAY_HOST, LISTENER, TLS_LISTENER, TLS_ROUTE
from router.demo.manifests import EDGE_HOST, QUEUE_HOST, TLS_HOST, Layout
from router.demo.stage import QUEUE_BY_NAME, Stage
from router.demo.table import PortEntry
from router.errors import DemoFailed

CHANGE_S = 30.0
"""How long a change may take from a saved file to traffic. It takes a fraction of a second; a busy machine gets time."""

HOLDER = "default/ottcache-002"
CONTENDER = "default/ottcache-003"
MISTYPED = "default/typo"
QUEUE = "Service default/queue amqp"
ANY_PORT = "default/any-port"
CLAIM = "TransportServerClaim default/mail-tsc"
WITHIN_QUOTA, OVER_QUOTA = "small/first", "small/second"

_Seen = TypeVar("_Seen")


class SelfTest:
    """One run of the self-test.

    Args:
        stage: the demo that runs.
        say: takes a line for each thing that was seen.
        deadline_s: how long each thing may take until it is seen.
    """

    def __init__(self, stage: Stage, say: Callable[[str], None], deadline_s: float = CHANGE_S) -> None:
        self._deadline_s = deadline_s
        self._stage = stage
        self._say = say
        self._layout = stage.layout
        self._edited_s: float | None = None
        self._given: int | None = None
        """The port of the Route that asks for any."""

    def run(self) -> None:
        """Go through all of it.

        Raises:
            DemoFailed: something was not as it should be; the text says what was to be seen, and what was.
        """
        self._verdicts()
        self._ports()
        with client.connect(self._layout.cache_port) as held:
            before = self._see(
                "a connection that stays open", lambda: client.exchange(held, "first"), _is("cache-a: first")
            )
            self._endpoint_moves()
            self._port_changes()
            self._typo_is_corrected()
            self._route_is_deleted()
            self._see(
                f"the connection of the start, which heard {before!r}",
                lambda: client.exchange(held, "still there"),
                _is("cache-a: still there"),
            )
        self._vault("untouched by all of this")
        self._any_port("untouched, too")

    def _verdicts(self) -> None:
        for route in (HOLDER, "default/mail", "default/vault", "default/mail-by-tls", QUEUE_BY_NAME):
            self._see_verdict(f"Route {route}", route, "admitted")
        conflict = self._see_verdict(
            f"Route {CONTENDER}, which wants the port of another", CONTENDER, "PortAlreadyClaimed"
        )
        if HOLDER not in conflict.message:
            raise DemoFailed(f"the message does not name the holder {HOLDER}: {conflict.message}")
        self._see_verdict(f"{QUEUE}, which asks without a Route", QUEUE, "admitted")
        self._see_verdict(f"Route {MISTYPED}, which has a typing error", MISTYPED, "InvalidAnnotation")
        self._see_verdict(f"Route {WITHIN_QUOTA}, in a namespace that may hold one port", WITHIN_QUOTA, "admitted")
        over = self._see_verdict(f"Route {OVER_QUOTA}, which wants another one", OVER_QUOTA, "PortQuotaExceeded")
        if WITHIN_QUOTA not in over.message:
            raise DemoFailed(f"the message does not name the holder {WITHIN_QUOTA}: {over.message}")
        self._see_verdict(f"{CLAIM}, which asks by a claim", CLAIM, "admitted")
        for listener in (LISTENER, TLS_LISTENER):
            self._see_verdict(f"{listener}, a listener", listener, "admitted")
        self._see_verdict(f"{TLS_ROUTE}, which is led to by a name", TLS_ROUTE, "admitted")
        self._given = self._see_verdict(f"Route {ANY_PORT}, which asks for any port", ANY_PORT, "admitted").port

    def _ports(self) -> None:
        port = self._layout.cache_port
        self._see(f"port {port}, saying 'hello'", lambda: client.ask(port, "hello"), _is("cache-a: hello"))
        port = self._layout.mail_port
        self._see(f"port {port}, saying nothing", lambda: client.ask(port), _starts("220 mail"))
        port = self._layout.queue_port
        self._see(f"port {port}, saying 'hello'", lambda: client.ask(port, "hello"), _is("queue: hello"))
        self._any_port(f"one of --auto-ports, given to Route {ANY_PORT}")
        self._see(
            f"port {self._stage.claim_port}, given to {CLAIM}",
            lambda: client.ask(self._stage.claim_port),
            _starts("220 mail"),
        )
        self._vault("its certificate checked")
        access = self._stage.access
        self._see(
            f"port {self._layout.edge_port}, TLS to {EDGE_HOST}, ended by the router",
            lambda: client.ask_over_tls(self._layout.edge_port, EDGE_HOST, access.certificate_file, "hello"),
            _starts("220 mail"),
        )
        self._gateway()
        self._bridge()
        port = self._layout.spare_port
        self._see(f"port {port}, of the mistyped Route, is closed", lambda: client.is_refused(port), bool)
        sni_port = self._stage.access.sni_port
        self._see(
            f"port {sni_port}, asking for a name that no Route has", self._ask_for_unknown_host, _is("not served")
        )

    def _gateway(self) -> None:
        port, tls_port = self._layout.gateway_ports
        self._see(
            f"port {port}, of a Gateway, which leads to a TCPRoute",
            lambda: client.ask(port, "hello"),
            _is("queue: hello"),
        )
        certificate_file = self._stage.access.certificate_file
        self._see(
            f"port {tls_port}, of a Gateway, TLS to {GATEWAY_HOST}, which leads to a TLSRoute",
            lambda: client.ask_over_tls(tls_port, GATEWAY_HOST, certificate_file, "hello"),
            _is("vault: hello"),
        )

    def _bridge(self) -> None:
        bridge = self._stage.bridge
        way = f"TLS to {QUEUE_HOST} on port {self._stage.access.sni_port}"
        what = (
            f"port {bridge.port} of a stunnel, in plain text, and from there {way}"
            if bridge.child is not None
            else f"{way}, as tcp-router stunnel prints it; no stunnel is installed, so by TLS of our own"
        )
        self._see(what, lambda: bridge.ask("hello"), _is("queue: hello"))

    def _any_port(self, remark: str) -> None:
        port = self._given
        if port is None or port not in self._stage.auto_ports:
            raise DemoFailed(f"Route {ANY_PORT} was given port {port}, which is none of {self._stage.auto_ports}")
        self._see(f"port {port}, {remark}", lambda: client.ask(port), _starts("220 mail"))

    def _vault(self, remark: str) -> None:
        access = self._stage.access
        self._see(
            f"port {access.sni_port}, TLS to {TLS_HOST}, {remark}",
            lambda: client.ask_over_tls(access.sni_port, TLS_HOST, access.certificate_file, "hello"),
            _is("vault: hello"),
        )

    def _ask_for_unknown_host(self) -> str:
        access = self._stage.access
        try:
            return client.ask_over_tls(access.sni_port, "nobody.example.com", access.certificate_file, "hello")
        except ssl.SSLCertVerificationError as error:
            return f"a certificate of somebody else: {error}"
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # Hung up on in the middle of the handshake; which of them it is depends on Python and OpenSSL.
            return "not served"

    def _endpoint_moves(self) -> None:
        port = self._layout.cache_port
        self._edit("the echo's endpoint moves", replace(self._layout, cache_endpoint=self._stage.moved_endpoint))
        self._see(f"port {port}, saying 'hello'", lambda: client.ask(port, "hello"), _is("cache-b: hello"))

    def _port_changes(self) -> None:
        former, port = self._layout.mail_port, self._stage.moved_port
        reloads = client.get_reloads(self._stage.http_port)
        self._edit(f"Route default/mail asks for {port} instead of {former}", replace(self._layout, mail_port=port))
        self._see(f"port {port}, saying nothing", lambda: client.ask(port), _starts("220 mail"))
        self._see(f"port {former} is closed", lambda: client.is_refused(former), bool)
        self._see("HAProxy was not reloaded for it", lambda: client.get_reloads(self._stage.http_port) == reloads, bool)

    def _typo_is_corrected(self) -> None:
        port = self._layout.spare_port
        self._edit(f"Route {MISTYPED} is corrected", replace(self._layout, spare_balance="leastconn"))
        self._see(f"port {port}, saying nothing", lambda: client.ask(port), _starts("220 mail"))
        self._see_verdict(f"Route {MISTYPED}", MISTYPED, "admitted")

    def _route_is_deleted(self) -> None:
        port = self._layout.cache_port
        self._edit(f"Route {HOLDER} is deleted", replace(self._layout, cache_endpoint=None))
        # Saying something, so that the echo, which has the port for a moment yet, is no silence to wait for.
        self._see(f"port {port}, now of Route {CONTENDER}", lambda: client.ask(port, "hello"), _starts("220 mail"))
        self._see_verdict(f"Route {CONTENDER}", CONTENDER, "admitted")
        self._see(f"Route {HOLDER} is not reported any more", lambda: self._entry(HOLDER) is None, bool)

    def _edit(self, what: str, layout: Layout) -> None:
        self._stage.write(layout)
        self._layout = layout
        self._edited_s = time.monotonic()
        self._say(f"edit  {what}")

    def _see_verdict(self, what: str, route: str, verdict: str) -> PortEntry:
        """See a Route's verdict become ``verdict``: ``admitted``, or the reason why it is rejected."""
        self._see(what, lambda: _verdict(self._entry(route)), lambda seen: seen.partition(":")[0] == verdict)
        entry = self._entry(route)
        if entry is None:
            raise DemoFailed(f"{what}: gone again")
        return entry

    def _entry(self, route: str) -> PortEntry | None:
        return next((entry for entry in client.get_ports(self._stage.http_port) if entry.route == route), None)

    def _see(self, what: str, look: Callable[[], _Seen], wanted: Callable[[_Seen], bool]) -> _Seen:
        try:
            seen = client.until(look, wanted, self._deadline_s)
        except DemoFailed as error:
            raise DemoFailed(f"{what}: {error}") from error
        after = ""
        if self._edited_s is not None:
            after = f" ({(time.monotonic() - self._edited_s) * 1000:.0f} ms after the edit)"
            self._edited_s = None
        self._say(f"ok    {what}{'' if seen is True else f': {seen}'}{after}")
        return seen


def _verdict(entry: PortEntry | None) -> str:
    if entry is None:
        return "not reported"
    return entry.verdict if entry.admitted else f"{entry.reason}: {entry.message}"


def _is(wanted: str) -> Callable[[str], bool]:
    return lambda seen: seen == wanted


def _starts(wanted: str) -> Callable[[str], bool]:
    return lambda seen: seen.startswith(wanted)
