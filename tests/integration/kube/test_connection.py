"""The connection to an API server, over real sockets."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import Configuration

from router.errors import (
    ApiBusy,
    ApiError,
    ApiForbidden,
    ApiGone,
    ApiNotFound,
    ApiUnauthorized,
    ApiUnreachable,
    SettingsError,
)
from router.kube.by_client import ClientAccess
from router.kube.connection import Connection, Deadlines
from router.settings import KubeSettings
from tests.support.certificates import server_context
from tests.support.scripted_api import Asked, EndOfConnection, Reply, Script, ScriptedApi, write_kubeconfig
from tests.support.waiting import wait_for

QUICK = Deadlines(connect_s=0.5, read_s=0.5, total_s=1.0)
PATIENT = Deadlines(connect_s=20, read_s=20, total_s=20)
"""Of all calls that shall not run into a deadline, however busy the machine is."""
SOON_S = 10
"""What ends by itself ends before that; what does not takes twice as long, or stays."""
WATCH = {"watch": "true"}


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[..., Connection]]:
    """Give a maker of connections to a URL, which are closed at the end."""
    made: list[Connection] = []

    def make(url: str, deadlines: Deadlines = PATIENT, **config: Any) -> Connection:
        path = write_kubeconfig(tmp_path / "kubeconfig", url, **config)
        connection = Connection.open(KubeSettings(kubeconfig=path), deadlines=deadlines, environ={})
        made.append(connection)
        return connection

    yield make
    for connection in made:
        connection.close()


def test_bodies_paths_queries_and_the_token_arrive(connect: Callable[..., Connection]) -> None:
    """A GET sends path, query and token, and gives the body as it came."""
    with ScriptedApi(lambda _, reply: reply.json({"items": []})) as api:
        connection = connect(api.url, user={"token": "secret"})

        assert connection.get("/api/v1/services", {"labelSelector": "a in (b,c)"}) == b'{"items": []}'
        asked = api.asked[0]

    assert (asked.method, asked.path, asked.query) == ("GET", "/api/v1/services", {"labelSelector": "a in (b,c)"})
    assert asked.headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_writes_send_their_bodies_once(connect: Callable[..., Connection], method: str) -> None:
    """What is written goes out as given, with its content type, and is never repeated by the transport."""

    def cut(_asked: Asked, _reply: Reply) -> None:
        raise EndOfConnection

    with ScriptedApi(cut) as api:
        write = getattr(connect(api.url), method)
        arguments = ("/x", b"{}", "application/merge-patch+json") if method == "patch" else ("/x", b"{}")
        with pytest.raises(ApiUnreachable):
            write(*arguments)

        assert len(api.asked) == 1
        expected = "application/merge-patch+json" if method == "patch" else "application/json"
        assert api.asked[0].headers["content-type"] == expected


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ApiUnauthorized), (403, ApiForbidden), (404, ApiNotFound), (410, ApiGone), (429, ApiBusy), (500, ApiBusy)],
)
def test_a_refusal_is_named(connect: Callable[..., Connection], status: int, error: type[ApiError]) -> None:
    """Each status has its exception, which says what was asked and what the server said."""
    with (
        ScriptedApi(lambda _, reply: reply.json({"kind": "Status", "message": "no way"}, status)) as api,
        pytest.raises(error, match="no way") as raised,
    ):
        connect(api.url).get("/api/v1/services")

    assert raised.value.status == status
    assert "GET /api/v1/services" in str(raised.value)


def test_retry_after_is_read(connect: Callable[..., Connection]) -> None:
    """What the server asks to wait is known."""
    with ScriptedApi(lambda _, reply: reply.json({}, 429, Retry_After="7")) as api, pytest.raises(ApiBusy) as raised:
        connect(api.url).get("/api/v1/services")

    assert raised.value.retry_after_s == 7


def test_nobody_listens(connect: Callable[..., Connection]) -> None:
    """A refused connection is told as such."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(ApiUnreachable, match="refused"):
        connect(f"http://127.0.0.1:{port}").get("/version")


def _mute(_asked: Asked, reply: Reply) -> None:
    reply.stay()


def _slow_headers(_asked: Asked, reply: Reply) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" * 100:
        reply.raw(bytes([byte]))
        if reply.is_over.wait(0.05):
            return


def _slow_body(_asked: Asked, reply: Reply) -> None:
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not reply.is_over.wait(0.05):
        reply.raw(b"x")


def _slow_body_without_length(_asked: Asked, reply: Reply) -> None:
    reply.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while not reply.is_over.wait(0.05):
        reply.raw(b"x")


def _cut_body(_asked: Asked, reply: Reply) -> None:
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    raise EndOfConnection


@pytest.mark.parametrize("script", [_mute, _slow_headers, _slow_body, _slow_body_without_length, _cut_body])
def test_no_call_outlasts_its_deadline(connect: Callable[..., Connection], script: Script) -> None:
    """A server that says nothing, says it slowly, or stops in the middle costs at most the total deadline."""
    with ScriptedApi(script) as api:
        connection = connect(api.url, QUICK)
        began_s = time.monotonic()
        with pytest.raises(ApiUnreachable):
            connection.get("/version")

    assert time.monotonic() - began_s < SOON_S


def test_lines_come_as_they_are_sent(connect: Callable[..., Connection]) -> None:
    """Lines are whole, however they are cut into chunks, and the end of the stream is no error."""

    def script(_asked: Asked, reply: Reply) -> None:
        reply.begin_stream()
        for piece in (b'{"a":', b'1}\n{"b"', b":2}\n\n", b'{"c":3}\n'):
            reply.chunk(piece)
        reply.end_stream()

    with ScriptedApi(script) as api, connect(api.url).watch("/x", WATCH, 5) as stream:
        assert list(stream.lines()) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def _silent_stream(_asked: Asked, reply: Reply) -> None:
    reply.begin_stream()
    reply.stay()


def _trickling_stream(_asked: Asked, reply: Reply) -> None:
    reply.begin_stream()
    while not reply.is_over.wait(0.05):
        reply.chunk(b"x")


def _cut_stream(_asked: Asked, reply: Reply) -> None:
    reply.begin_stream()
    reply.chunk(b'{"type":"ADD')
    raise EndOfConnection


def _cut_without_chunks(_asked: Asked, reply: Reply) -> None:
    reply.raw(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"type":"ADD')
    raise EndOfConnection


@pytest.mark.parametrize("script", [_silent_stream, _trickling_stream, _cut_stream, _cut_without_chunks])
def test_a_dead_stream_is_noticed(connect: Callable[..., Connection], script: Script) -> None:
    """Silence, a line that does not become whole, and a cut raise ApiUnreachable within the read deadline."""
    with ScriptedApi(script) as api, connect(api.url).watch("/x", WATCH, 0.4) as stream:
        began_s = time.monotonic()
        with pytest.raises(ApiUnreachable):
            list(stream.lines())

    assert time.monotonic() - began_s < SOON_S


@pytest.fixture(params=["plain", "tls"])
def silent_api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ScriptedApi, dict[str, Any]]]:
    """Give a server whose streams say nothing, and what a kubeconfig for it says more."""
    tls = server_context(tmp_path, "localhost", "127.0.0.1") if request.param == "tls" else None
    with ScriptedApi(_silent_stream, tls) as api:
        yield api, {"ca_file": tmp_path / "localhost.pem"} if tls else {}


def test_closing_a_stream_wakes_its_reader(
    connect: Callable[..., Connection], silent_api: tuple[ScriptedApi, dict[str, Any]]
) -> None:
    """A reader that waits for a line ends at once when another thread closes the stream; with TLS too."""
    api, config = silent_api
    if config:
        config = {"ca_file": config["ca_file"]}
        api_url = f"https://localhost:{api.port}"
    else:
        api_url = api.url
    with connect(api_url, **config).watch("/x", WATCH, 30) as stream:
        closer = threading.Timer(0.2, stream.close)
        closer.start()
        began_s = time.monotonic()
        with pytest.raises(ApiUnreachable, match="closed"):
            list(stream.lines())
        closer.join()

    assert time.monotonic() - began_s < SOON_S


def _close_while(connection: Connection, is_waiting: Callable[[], object]) -> float:
    """Close a connection while another thread is in a call of it; give how long that took to end, in seconds."""
    problems: list[ApiError] = []

    def call() -> None:
        try:
            connection.get("/version")
        except ApiError as error:
            problems.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    wait_for(is_waiting, "the call to wait")
    began_s = time.monotonic()
    connection.close()
    thread.join(10)
    assert [type(problem) for problem in problems] == [ApiUnreachable]
    return time.monotonic() - began_s


def test_closing_ends_a_call_that_waits_for_its_answer(connect: Callable[..., Connection]) -> None:
    """A call does not wait for its deadline when the connection is closed, and later ones are refused."""
    with ScriptedApi(_mute) as api:
        connection = connect(api.url)
        assert _close_while(connection, lambda: api.asked) < SOON_S
        with pytest.raises(ApiUnreachable, match="stops"):
            connection.get("/version")


def test_closing_ends_a_call_that_waits_for_the_connection(connect: Callable[..., Connection]) -> None:
    """A call that is still connecting ends too: here the server's queue is full, so that it drops the SYN."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        for filler in (first, second):
            filler.setblocking(False)  # noqa: FBT003 - the name is the socket module's
            filler.connect_ex(address)
        connection = connect(f"http://127.0.0.1:{address[1]}")
        syn_sent = f"{address[1]:04X} 02"

        def is_connecting() -> bool:
            return syn_sent in Path("/proc/net/tcp").read_text()

        assert _close_while(connection, is_connecting) < SOON_S


def test_closing_ends_a_call_that_waits_for_tls(connect: Callable[..., Connection]) -> None:
    """A call in a TLS handshake with a server that says nothing ends too."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: accepted.append(server.accept()[0]))
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        connection = connect(url)

        assert _close_while(connection, lambda: accepted and accepted[0].recv(1, socket.MSG_PEEK)) < SOON_S
        thread.join()
        accepted[0].close()


def test_tls_is_verified_against_the_private_ca(connect: Callable[..., Connection], tmp_path: Path) -> None:
    """The cluster's own CA is enough, and needed."""
    tls = server_context(tmp_path, "localhost")
    with ScriptedApi(lambda _, reply: reply.json({}), tls) as api:
        url = f"https://localhost:{api.port}"
        assert connect(url, ca_file=tmp_path / "localhost.pem").get("/version") == b"{}"
        with pytest.raises(ApiUnreachable, match="does not verify"):
            connect(url).get("/version")


def _watched(connection: Connection) -> bytes:
    with connection.watch("/x", WATCH, 5.0):
        return b"{}"  # the stream is open


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda each: each.get("/x"), id="GET"),
        pytest.param(lambda each: each.post("/x", b"{}"), id="POST"),
        pytest.param(lambda each: each.put("/x", b"{}"), id="PUT"),
        pytest.param(lambda each: each.patch("/x", b"{}", "application/merge-patch+json"), id="PATCH"),
        pytest.param(_watched, id="WATCH"),
    ],
)
def test_a_rotated_token_costs_no_call(
    connect: Callable[..., Connection], tmp_path: Path, ask: Callable[[Connection], bytes]
) -> None:
    """A 401 makes the connection read its credentials again and ask once more, whatever was asked; others have the new ones too."""
    token = tmp_path / "token"
    token.write_text("old\n")

    def script(asked: Asked, reply: Reply) -> None:
        if asked.headers.get("authorization") == "Bearer new":
            reply.json({})
        else:
            token.write_text("new\n")
            reply.json({}, 401)

    with ScriptedApi(script) as api:
        connection = connect(api.url, user={"tokenFile": str(token)})
        assert ask(connection) == b"{}"
        assert connection.sibling().get("/version") == b"{}"

        assert [each.headers["authorization"] for each in api.asked] == ["Bearer old", "Bearer new", "Bearer new"]


def test_refused_credentials_are_sent_again_once(connect: Callable[..., Connection]) -> None:
    """A server that accepts none of them is asked twice; what was read a moment ago is not read and sent again."""
    with ScriptedApi(lambda _, reply: reply.json({}, 401)) as api:
        connection = connect(api.url, user={"token": "secret"})
        for asked in (2, 3):
            with pytest.raises(ApiUnauthorized):
                connection.get("/version")
            assert len(api.asked) == asked


def test_credentials_that_cannot_be_read_again_say_so(connect: Callable[..., Connection], tmp_path: Path) -> None:
    """After a 401 a kubeconfig that is gone is the problem that is told, and the next call is tried all the same."""
    with ScriptedApi(lambda _, reply: reply.json({}, 401)) as api:
        connection = connect(api.url, user={"token": "secret"})
        (tmp_path / "kubeconfig").unlink()
        for asked in (1, 2):
            with pytest.raises(ApiUnauthorized, match="cannot be read again: no kubeconfig"):
                connection.get("/version")
            assert len(api.asked) == asked


def test_in_a_pod_the_service_account_is_used(tmp_path: Path) -> None:
    """In a pod, and without a kubeconfig given, host, CA and token are those of the service account."""
    tls = server_context(tmp_path, "localhost")
    (tmp_path / "ca.crt").write_bytes((tmp_path / "localhost.pem").read_bytes())
    (tmp_path / "token").write_text("bound\n")
    with ScriptedApi(lambda _, reply: reply.json({}), tls) as api:
        environ = {"KUBERNETES_SERVICE_HOST": "localhost", "KUBERNETES_SERVICE_PORT": str(api.port)}
        connection = Connection.open(KubeSettings(), environ=environ, service_account=tmp_path)
        connection.get("/version")
        connection.close()

        assert api.asked[0].headers["authorization"].lower() == "bearer bound"


def test_a_server_that_is_not_verified_is_no_warning_at_each_request(
    connect: Callable[..., Connection], tmp_path: Path
) -> None:
    """With insecure-skip-tls-verify requests go out, and Python's warnings say nothing of it."""
    tls = server_context(tmp_path, "elsewhere.example")
    with (
        warnings.catch_warnings(record=True) as warned,
        ScriptedApi(lambda _, reply: reply.json({}), tls) as api,
    ):
        warnings.simplefilter("always")
        connection = connect(f"https://127.0.0.1:{api.port}", insecure=True)
        for _ in range(3):
            connection.get("/version")
        connection.sibling().get("/version")
        assert not connection.is_verified
        assert len(api.asked) == 4
    assert [str(each.message) for each in warned] == []


def test_a_token_that_would_not_be_sent_is_a_settings_error() -> None:
    """A client that keeps the token elsewhere, as kubernetes 36.0.0 did, is named, and what to install."""
    configuration = Configuration()
    configuration.api_key["authorization"] = "Bearer secret"
    with pytest.raises(SettingsError, match=r"keeps the token as authorization.* install kubernetes 37 or newer"):
        ClientAccess(configuration)


def test_a_credential_plugin_is_run(connect: Callable[..., Connection], tmp_path: Path) -> None:
    """The command of an ``exec`` user gives the token, and is run again when that is refused."""
    runs = tmp_path / "runs"
    program = "\n".join(
        (
            "import json, pathlib",
            f"runs = pathlib.Path({str(runs)!r})",
            "number = len(runs.read_text()) if runs.exists() else 0",
            "runs.write_text('x' * (number + 1))",
            "status = {'token': f'run-{number}'}",
            "version = 'client.authentication.k8s.io/v1'",
            "print(json.dumps({'apiVersion': version, 'kind': 'ExecCredential', 'status': status}))",
        )
    )
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": ["-c", program],
            "interactiveMode": "Never",
        }
    }

    def script(asked: Asked, reply: Reply) -> None:
        reply.json({}, 200 if asked.headers["authorization"] == "Bearer run-1" else 401)

    with ScriptedApi(script) as api:
        connection = connect(api.url, user=user)
        connection.get("/version")

        assert [asked.headers["authorization"] for asked in api.asked] == ["Bearer run-0", "Bearer run-1"]


CONTEXT = "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"


def _cluster(more: str) -> str:
    return f"{CONTEXT}clusters: [{{name: c, cluster: {{server: 'https://x', {more}}}}}]\n"


def _config(path: Path, text: str) -> KubeSettings:
    path.write_text(text)
    return KubeSettings(kubeconfig=path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("{", "cannot be used"),
        ("- a\n", "cannot be used"),
        ("apiVersion: v1\n", "current-context"),
        ("current-context: a\ncontexts: []\nclusters: []\nusers: []\n", "no context 'a'"),
        (f"{CONTEXT}clusters: []\n", "name c"),
        (f"{CONTEXT}clusters: [{{name: c, cluster: {{server: nonsense}}}}]\n", "no URL"),
        (_cluster("certificate-authority: /nowhere/ca.crt"), "ca.crt"),
        (_cluster("certificate-authority-data: AAAA"), "CA cannot be used"),
        (
            f"{_cluster('')}users: [{{name: u, user: {{exec: {{apiVersion: v1, command: /nowhere/plugin}}}}}}]\n",
            "/nowhere/plugin",
        ),
    ],
)
def test_a_bad_kubeconfig_is_a_settings_error(tmp_path: Path, text: str, said: str) -> None:
    """Whatever is wrong with a kubeconfig, the message names the file and what it is."""
    settings = _config(tmp_path / "bad", text)
    with pytest.raises(SettingsError) as raised:
        Connection.open(settings, environ={})

    assert str(tmp_path / "bad") in str(raised.value)
    assert said in str(raised.value)


def test_no_kubeconfig_at_all(tmp_path: Path) -> None:
    """Without any configuration the message says what to give."""
    with pytest.raises(SettingsError, match="KUBECONFIG"):
        Connection.open(KubeSettings(), environ={"KUBECONFIG": str(tmp_path / "none"), **_without_pod(os.environ)})


def _without_pod(environ: Any) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(("KUBERNETES_", "KUBECONFIG"))}
