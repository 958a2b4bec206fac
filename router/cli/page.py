"""``tcp-router page``: the page of a running router in the browser of who asks, who needs no way to it but the API server's."""

from __future__ import annotations

import hmac
import re
import secrets
import socket
import webbrowser
from http import HTTPStatus
from typing import Any

import click

from router.cli.exits import UNREACHABLE, clear_errors
from router.cli.options import option, with_options
from router.cli.running import RunningOptions, Source, running, source
from router.errors import ApiError, RouterError, RouterUnreachable
from router.supervisor import Pool

_HELP = """\
Open the page of a running router in a browser: who has which port, how it is used, and what is wrong.

Listens on 127.0.0.1 and leads to the router, by a port-forward where it is in a cluster, with the token that it wants. The address has a secret; without it, or
the cookie that it becomes, nothing is given to anybody on this machine. Which router is asked, and as whom, as with tcp-router ports. Ends with Ctrl-C.

\b
Exit status:
  0  ended by Ctrl-C
  1  the router cannot be reached, or lets you not read
  2  an option, or the kubeconfig, cannot be used
"""
_LONGEST_HEAD = 32_768
_CLIENTS = 32
_REQUEST_S = 10.0
_PIECE = 65_536
_SILENT_S = 60.0
"""The stream says every five seconds that it is there."""
_COOKIE = "tcp-router-page"
_PATH = re.compile(r"/[!-~]*")


@click.command(help=_HELP)
@with_options(running("--address"))
@option("--browser/--no-browser", default=True, help="Open a browser; else the address is printed alone.")
@clear_errors
def page(*, browser: bool, **values: Any) -> None:
    """Lead a browser to the page."""
    try:
        router = source(click.get_current_context(), RunningOptions(**values))
        # Says what is wrong before a browser is there, and finds out whether a token is needed.
        router.page("/page/rows")
    except (RouterUnreachable, ApiError) as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(UNREACHABLE) from error
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = _Proxy(router, listener.getsockname()[1])
        click.echo(f"The page of the router at {router.name}; Ctrl-C ends it:\n{proxy.address}")
        if browser:
            webbrowser.open(proxy.address)
        pool = Pool("page client", _CLIENTS)
        try:
            while True:
                client, _ = listener.accept()
                pool.submit(proxy.serve, client)
        except KeyboardInterrupt:
            return
        finally:
            proxy.end()
            pool.stop(1.0)


class _Proxy:
    """Leads those who know the secret to a router; any thread.

    Args:
        router: where to.
        port: that it listens on.
    """

    def __init__(self, router: Source, port: int) -> None:
        self._router = router
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._secret = secrets.token_urlsafe(32)
        self._clients: set[socket.socket] = set()
        self.address = f"http://127.0.0.1:{port}/?key={self._secret}"
        """With the secret."""

    def end(self) -> None:
        """End all that are served."""
        for client in list(self._clients):
            _end(client)

    def serve(self, client: socket.socket) -> None:
        """Answer one request, and close."""
        self._clients.add(client)
        try:
            with client:
                client.settimeout(_REQUEST_S)
                self._answer(client)
        except (OSError, RouterError):
            # The browser left, or the router did: the page says so itself, and asks again.
            return
        finally:
            self._clients.discard(client)

    def _answer(self, client: socket.socket) -> None:
        request, headers = _head(client)
        parts = request.split(" ")
        if len(parts) != 3 or parts[0] != "GET" or _PATH.fullmatch(parts[1]) is None:  # noqa: PLR2004 - method, path, version
            client.sendall(_say(HTTPStatus.BAD_REQUEST, "GET a path"))
        elif headers.get("host", "") not in self._hosts:
            # A name that leads here is somebody else's page, which asks in the name of its reader (DNS rebinding).
            client.sendall(_say(HTTPStatus.FORBIDDEN, "this is asked by its address alone"))
        elif parts[1].startswith("/?key="):
            self._let_in(client, parts[1].removeprefix("/?key="))
        elif not self._knows(headers.get("cookie", "")):
            client.sendall(_say(HTTPStatus.FORBIDDEN, "open the address that tcp-router page printed"))
        else:
            self._lead(client, parts[1])

    def _let_in(self, client: socket.socket, key: str) -> None:
        if not hmac.compare_digest(key.encode(), self._secret.encode()):
            client.sendall(_say(HTTPStatus.FORBIDDEN, "open the address that tcp-router page printed"))
            return
        # The secret leaves the address, and so the history and what is sent on.
        cookie = f"{_COOKIE}={self._secret}; Path=/; HttpOnly; SameSite=Strict"
        client.sendall(_say(HTTPStatus.SEE_OTHER, "", f"Location: /\r\nSet-Cookie: {cookie}\r\n"))

    def _knows(self, cookies: str) -> bool:
        values = [each.strip().partition("=") for each in cookies.split(";")]
        return any(
            name == _COOKIE and hmac.compare_digest(value.encode(), self._secret.encode()) for name, _, value in values
        )

    def _lead(self, client: socket.socket, path: str) -> None:
        first = self._passed(client, path)
        if first:
            # The token's time is over: another, once.
            self._router.token = self._router.own_token() or self._router.token
            self._passed(client, path, again=True)

    def _passed(self, client: socket.socket, path: str, *, again: bool = False) -> bool:
        """Pass the answer on; say whether it was that a token is wanted, and nothing was passed on."""
        with self._router.reach() as reached:
            reached.sock.settimeout(_SILENT_S)
            said = "".join(f"{name}: {value}\r\n" for name, value in self._router.token.items())
            reached.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: router\r\n{said}Connection: close\r\n\r\n".encode())
            piece = reached.sock.recv(_PIECE)
            if piece.startswith(b"HTTP/1.1 401 ") and not again:
                return True
            client.settimeout(_SILENT_S)
            while piece:
                client.sendall(piece)
                piece = reached.sock.recv(_PIECE)
        return False


def _end(client: socket.socket) -> None:
    """End a connection that another thread waits on."""
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _head(client: socket.socket) -> tuple[str, dict[str, str]]:
    """Read a request up to its empty line; give its first line, and its headers by their names in lower case."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(_PIECE)
        received += piece
        if not piece or len(received) > _LONGEST_HEAD:
            raise OSError("no request")
    first, *lines = received.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    headers = (line.partition(":") for line in lines)
    return first, {name.lower(): value.strip() for name, _, value in headers}


def _say(status: HTTPStatus, text: str, further: str = "") -> bytes:
    body = f"{text}\n".encode()
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        f"{further}Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
    ).encode() + body
