"""``tcp-router ports`` against what answers in a router's place: on an address, and through an API server's port-forward."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.errors import ApiUnreachable
from router.kube.configuration import Credentials, loader
from router.kube.portforward import forwarded
from router.settings import KubeSettings
from tests.support.commands import Ended, invoke
from tests.support.kube.tls import private_ca
from tests.support.ports import free_port
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

_ROWS: list[dict[str, Any]] = [
    {"port": None, "name": "web", "host": "web.example.com", "sessions": 0},
    {"port": 6621, "name": "mail", "verdict": "rejected", "reason": "PortAlreadyClaimed", "sessions": None},
    {"port": 6620, "name": "db", "servers": [{"name": "s"}, {"name": "t"}], "sessions": 3},
]
_TABLE = """\
PORT  HOST             ROUTE      VERDICT   REASON              SERVERS  SESSIONS
6620  -                team/db    admitted  -                   2        3
6621  -                team/mail  rejected  PortAlreadyClaimed  0        -
-     web.example.com  team/web   admitted  -                   0        0
"""


def row(**fields: Any) -> dict[str, Any]:
    """Give an object of /ports."""
    usual: dict[str, Any] = {
        "namespace": "team",
        "host": None,
        "verdict": "admitted",
        "reason": None,
        "servers": [],
        "sessions": None,
    }
    return {**usual, "message": "", "warnings": [], "address": None, **fields}


def read_head(connection: socket.socket) -> bytes:
    """Give an HTTP request without body."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError
        head += piece
    return head


class PretendedRouter(TcpServer):
    """Answers one HTTP request per connection, as a router would or as a test wants it."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, bytes]] = {
            "/ports": (200, json.dumps([row(**fields) for fields in _ROWS]).encode()),
            "/readyz": (200, b"ok\n"),
        }
        self.raw: bytes | None = None
        self.wants_token = False
        self.tokens: list[str] = []
        """What was shown with each request for /ports."""
        super().__init__(self._answer)

    def _answer(self, connection: socket.socket) -> None:
        asked = read_head(connection)
        if self.raw is not None:
            connection.sendall(self.raw)
            return
        status, body = self.pages[asked.split()[1].decode()]
        if b"GET /ports " in asked:
            lines = [line for line in asked.decode().split("\r\n") if line.startswith("Authorization: ")]
            self.tokens.append(lines[0].partition(": ")[2] if lines else "")
            if self.wants_token and not lines:
                status, body = 401, b"a bearer token is needed\n"
        connection.sendall(b"HTTP/1.0 %d Whatever\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


@pytest.fixture
def router() -> Iterator[PretendedRouter]:
    """What answers in a router's place."""
    with PretendedRouter() as server:
        yield server


def ports(router: PretendedRouter, *options: str) -> Ended:
    """Run the command on an address."""
    return invoke("ports", "--address", f"127.0.0.1:{router.port}", *options)


def test_table_is_sorted(router: PretendedRouter) -> None:
    """A line per Route, by port, those without one last; what is not known is a dash."""
    assert ports(router) == Ended(0, _TABLE, "")


def test_json_is_what_the_router_gives(router: PretendedRouter) -> None:
    """The objects are passed on whole, sorted likewise, with members that this version does not know."""
    objects = [row(**fields, later="x") for fields in _ROWS]
    router.pages["/ports"] = 200, json.dumps(objects).encode()
    ended = ports(router, "--output", "json")
    assert json.loads(ended.stdout) == [objects[2], objects[1], objects[0]]
    assert ended.exit_code == 0


def test_servers_that_are_up_stand_before_all(router: PretendedRouter) -> None:
    """Where the router tells them."""
    router.pages["/ports"] = 200, json.dumps([row(**_ROWS[2], servers_up=1)]).encode()
    assert ports(router).stdout.splitlines()[1].split()[5] == "1/2"


def test_an_older_router_has_no_sessions(router: PretendedRouter) -> None:
    """A row without sessions is shown all the same."""
    older = row(**_ROWS[2])
    del older["sessions"]
    router.pages["/ports"] = 200, json.dumps([older]).encode()
    assert ports(router).stdout.splitlines()[1].split() == ["6620", "-", "team/db", "admitted", "-", "2", "-"]


def test_a_router_without_routes(router: PretendedRouter) -> None:
    """No Route is said in words, and in JSON by an empty array."""
    router.pages["/ports"] = 200, b"[]"
    assert ports(router) == Ended(0, "the router has no Route of its own yet\n", "")
    assert ports(router, "--output", "json").stdout == "[]\n"


def test_a_router_that_is_not_ready(router: PretendedRouter) -> None:
    """Its table is printed, with a warning that says why it may be wrong, and the exit code tells."""
    router.pages["/readyz"] = 503, b"the inputs have not synced yet\nthe router is shutting down\n"
    ended = ports(router)
    assert (ended.exit_code, ended.stdout) == (1, _TABLE)
    assert "is not ready: the inputs have not synced yet; the router is shutting down" in ended.stderr


def test_messages_and_warnings_stand_below_the_table(router: PretendedRouter) -> None:
    """A line each, in the order of the table: why a Route is rejected, and what its owner would not expect."""
    rows = [
        row(port=6621, name="mail", verdict="rejected", reason="PortAlreadyClaimed", message="port 6621 is held by x"),
        row(port=6620, name="db", warnings=["Service team/db has no endpoints", "two\nlines"]),
    ]
    router.pages["/ports"] = 200, json.dumps(rows).encode()
    assert ports(router).stdout.splitlines()[3:] == [
        "",
        "team/db: warning: Service team/db has no endpoints",
        "team/db: warning: two?lines",
        "team/mail: port 6621 is held by x",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TCP_ROUTER_LISTEN", "127.0.0.1:{}"),
        ("TCP_ROUTER_LISTEN", "0.0.0.0:{}"),
        ("TCP_ROUTER_LISTEN", "[::]:{}"),
        ("STATS_PORT", "{}"),
    ],
)
def test_without_an_address_the_router_of_this_environment_is_asked(
    router: PretendedRouter, variable: str, value: str
) -> None:
    """In a router's pod that is its own: on the host's network 1936 is another router's."""
    env = {variable: value.format(router.port)}
    assert invoke("ports", env=env) == Ended(0, _TABLE, "")
    assert invoke("ports", "--address", f"127.0.0.1:{free_port()}", env=env).exit_code == 1


@pytest.mark.parametrize(("variable", "value"), [("TCP_ROUTER_LISTEN", "nonsense"), ("STATS_PORT", "x")])
def test_an_environment_that_no_router_would_take(variable: str, value: str) -> None:
    """It is named, rather than another address asked."""
    ended = invoke("ports", env={variable: value})
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert value in ended.stderr


def test_a_token_is_shown_to_a_router_that_wants_one(router: PretendedRouter, tmp_path: Path) -> None:
    """The token of the file goes with the request; without the option none does."""
    file = tmp_path / "token"
    file.write_text("a.b_c-d==\n")
    assert ports(router, "--token-file", str(file)) == Ended(0, _TABLE, "")
    assert ports(router) == Ended(0, _TABLE, "")
    assert router.tokens == ["Bearer a.b_c-d==", ""]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        pytest.param(401, "--token-file", id="no token"),
        pytest.param(403, "may not get routers/metrics", id="no right"),
        pytest.param(503, "routers/metrics", id="nobody can tell"),
    ],
)
def test_a_router_that_refuses(router: PretendedRouter, status: int, said: str) -> None:
    """A router that lets not everybody read says why, and for want of a token the command says how to show one."""
    router.pages["/ports"] = status, b"you may not get routers/metrics\n"
    ended = ports(router)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "refuses /ports: you may not get routers/metrics" in ended.stderr
    assert said in ended.stderr


@pytest.mark.parametrize("content", [None, "", "two words", "a\x1bb"], ids=["missing", "empty", "two words", "control"])
def test_a_file_without_a_token(router: PretendedRouter, tmp_path: Path, content: str | None) -> None:
    """A file that holds no token is named, and nothing is asked."""
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    ended = ports(router, "--token-file", str(file))
    assert (ended.exit_code, router.tokens) == (2, [])
    assert f"--token-file {file}" in ended.stderr


def test_nothing_listens() -> None:
    """A refused connection says what to do."""
    ended = invoke("ports", "--address", f"127.0.0.1:{free_port()}")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "Connection refused" in ended.stderr
    assert "--listen" in ended.stderr
    assert "--deployment" in ended.stderr


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n", id="another HTTP server"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\n<html>", id="a page"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", id="other JSON"),
        pytest.param(b'HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n[{"port":1}', id="cut JSON"),
        pytest.param(b'HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\n[{"port":1}]', id="other objects"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n[", id="cut"),
    ],
)
def test_no_router_listens(router: PretendedRouter, raw: bytes) -> None:
    """Whatever else answers there is an error in words."""
    router.raw = raw
    ended = ports(router)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: what listens at 127.0.0.1:{router.port} ")


def test_what_it_writes_cannot_steer_a_terminal(router: PretendedRouter) -> None:
    """Control characters of whoever answers are not passed on."""
    router.pages["/ports"] = 200, json.dumps([row(port=1, name="\x1b[2Jx")]).encode()
    assert "\x1b" not in ports(router).stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(("--address", "127.0.0.1"), "no host with a port", id="no port"),
        pytest.param(("--address", "127.0.0.1:0"), "no host with a port", id="port 0"),
        pytest.param(("--address", "::1:1936"), "no host with a port", id="no brackets"),
        pytest.param(("--address", "a:1", "--deployment", "x", "--context", "y"), "--context, --deployment", id="both"),
        pytest.param(("--output", "yaml"), "'table'", id="output"),
        pytest.param(("--kubeconfig", "/nonexistent"), "/nonexistent", id="no kubeconfig"),
    ],
)
def test_bad_options(options: tuple[str, ...], said: str) -> None:
    """An option that cannot be used ends the command with code 2 and a word about it."""
    ended = invoke("ports", *options)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert said in ended.stderr


def test_an_address_on_the_command_line_wins_over_variables(router: PretendedRouter) -> None:
    """A deployment named by the environment does not get in the way of an address that was typed."""
    ended = invoke("ports", "--address", f"127.0.0.1:{router.port}", env={"TCP_ROUTER_DEPLOYMENT": "x"})
    assert ended.exit_code == 0


def test_ipv6_and_names(router: PretendedRouter) -> None:
    """A name is looked up; an IPv6 address stands in brackets."""
    assert invoke("ports", "--address", f"localhost:{router.port}").exit_code == 0
    assert f"[::1]:{router.port}: Connection refused" in invoke("ports", "--address", f"[::1]:{router.port}").stderr


class PretendedCluster(TcpServer):
    """An API server that knows one Deployment and its pods, and forwards ports (WebSocket, v4.channel.k8s.io).

    Args:
        forwards_to: the port that every pod has for any of its own.
        directory: for files that a kubeconfig needs.
        tls: whether it speaks TLS, with a CA of its own.
    """

    def __init__(self, forwards_to: int, directory: Path, *, tls: bool = False) -> None:
        self.forwards_to = forwards_to
        self.directory = directory
        self.ca_file: Path | None = None
        self._context: ssl.SSLContext | None = None
        if tls:
            self.ca_file, self._context = private_ca(directory)
        self.pods = [pod("tcp-router-b"), pod("tcp-router-c"), pod("tcp-router-a", ready="False")]
        self.containers: list[dict[str, Any]] = []
        self.forwarded: list[str] = []
        self.asked: list[str] = []
        self.refuses: dict[str, tuple[int, str]] = {}
        self.kubelet_says = ""
        self.hangs = False
        super().__init__(self._accepted)

    def _accepted(self, connection: socket.socket) -> None:
        if self._context is None:
            self._answer(connection)
            return
        with contextlib.closing(self._context.wrap_socket(connection.dup(), server_side=True)) as secure:
            self._answer(secure)

    def _answer(self, connection: socket.socket) -> None:
        head = read_head(connection).decode()
        target = head.split()[1]
        self.asked.append(target)
        path, _, query = target.partition("?")
        if path.endswith("/portforward") and self.hangs:
            connection.recv(1)
            return
        for part, (status, message) in self.refuses.items():
            if part in path:
                send(connection, status, {"kind": "Status", "message": message})
                return
        if path.endswith("/portforward"):
            self._forward(connection, head, path, query)
        elif path == "/apis/apps/v1/namespaces/openshift-ingress/deployments/tcp-router":
            template = {"spec": {"containers": self.containers}}
            send(connection, 200, {"spec": {"selector": {"matchLabels": {"app": "tcp-router"}}, "template": template}})
        elif path == "/api/v1/namespaces/openshift-ingress/pods":
            assert query == "labelSelector=app%3Dtcp-router"
            send(connection, 200, {"items": self.pods})
        else:
            send(connection, 404, {"kind": "Status", "message": f"{path} not found"})

    def _forward(self, connection: socket.socket, head: str, path: str, query: str) -> None:
        fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.splitlines()[1:]}
        assert "v4.channel.k8s.io" in fields["sec-websocket-protocol"]
        self.forwarded.append(path.split("/")[-2])
        number = int(query.removeprefix("ports="))
        key = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324 - RFC 6455 has it so
        connection.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n".encode()
        )
        for channel in (0, 1):
            send_frame(connection, bytes([channel]) + struct.pack("<H", number))
        if self.kubelet_says:
            send_frame(connection, b"\x01" + self.kubelet_says.encode())
            read_frame(connection)
            return
        with socket.create_connection(("127.0.0.1", self.forwards_to), 20) as inner:
            inner.settimeout(20)
            frame = read_frame(connection)
            assert frame[:1] == b"\x00"
            inner.sendall(frame[1:])
            while data := inner.recv(100):
                send_frame(connection, b"\x00" + data)
        read_frame(connection)

    def kubeconfig(self) -> Path:
        """Write one."""
        path = self.directory / "kubeconfig"
        cluster = {"server": f"http://127.0.0.1:{self.port}"}
        if self.ca_file is not None:
            cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.ca_file)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(yaml.safe_dump(content))
        return path


def pod(name: str, *, ready: str = "True", **metadata: str) -> dict[str, Any]:
    """Make a pod."""
    conditions = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]
    return {"metadata": {"name": name, **metadata}, "status": {"conditions": conditions}}


def send(connection: socket.socket, status: int, body: dict[str, Any]) -> None:
    """Answer a request."""
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + content)


def send_frame(connection: socket.socket, data: bytes) -> None:
    """Send a binary frame (RFC 6455, 5.2) of a server: not masked, and short here."""
    connection.sendall(b"\x82" + bytes([len(data)] if len(data) < 126 else [126, *struct.pack(">H", len(data))]) + data)


def read_frame(connection: socket.socket) -> bytes:
    """Give the content of a client's frame."""
    head = read(connection, 2)
    length = head[1] & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", read(connection, 2))
    mask = read(connection, 4)
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(read(connection, length)))


def read(connection: socket.socket, length: int) -> bytes:
    """Give exactly so many bytes."""
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data


@pytest.fixture
def control_plane(
    router: PretendedRouter, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[PretendedCluster]:
    """An API server whose pods are the router; with TLS where the test's parameter says so."""
    with PretendedCluster(router.port, tmp_path, tls=getattr(request, "param", None) == "tls") as server:
        yield server
        # The client's thread closes its end in its own time.
        wait_for(lambda: not server.open_connections, "the forwarded connections to be closed")


def in_cluster(control_plane: PretendedCluster, *options: str) -> Ended:
    """Run the command through the API server."""
    return invoke("ports", "--kubeconfig", control_plane.kubeconfig(), *options)


@pytest.mark.parametrize("control_plane", ["plain", "tls"], indirect=True)
def test_through_the_api_server(control_plane: PretendedCluster) -> None:
    """The first ready pod of the Deployment is asked, by port-forward, with the kubeconfig's credentials."""
    assert in_cluster(control_plane, "--port", "1937") == Ended(0, _TABLE, "")
    assert control_plane.forwarded == ["tcp-router-b"] * 2
    assert control_plane.asked[-1] == "/api/v1/namespaces/openshift-ingress/pods/tcp-router-b/portforward?ports=1937"


@pytest.mark.parametrize(
    ("containers", "port"),
    [
        pytest.param([{"name": "x"}], 1936, id="nothing told"),
        pytest.param([{"name": "x", "env": [{"name": "TCP_ROUTER_LISTEN", "value": "[::]:1946"}]}], 1946, id="listen"),
        pytest.param([{"name": "x", "ports": [{"containerPort": 1947, "name": "http"}]}], 1947, id="container's port"),
        pytest.param([{"name": "x", "env": [{"name": "STATS_PORT", "value": "1948"}]}], 1948, id="stats port"),
        pytest.param([{"name": "x", "env": [{"name": "STATS_PORT", "valueFrom": {}}]}], 1936, id="from elsewhere"),
    ],
)
def test_the_deployment_tells_the_port(
    control_plane: PretendedCluster, containers: list[dict[str, Any]], port: int
) -> None:
    """That on which its pods have the router's HTTP, unless one is given."""
    control_plane.containers = [{"name": "sidecar"}, *containers]
    assert in_cluster(control_plane) == Ended(0, _TABLE, "")
    assert control_plane.asked[-1].endswith(f"?ports={port}")
    assert in_cluster(control_plane, "--port", "1999") == Ended(0, _TABLE, "")
    assert control_plane.asked[-1].endswith("?ports=1999")


def test_the_kubeconfigs_token_is_shown_to_a_router_that_wants_one(
    control_plane: PretendedCluster, router: PretendedRouter
) -> None:
    """The caller's own token is sent through the port-forward where the router asks for one, and nowhere else."""
    assert in_cluster(control_plane) == Ended(0, _TABLE, "")
    assert router.tokens == [""]
    router.wants_token = True
    assert in_cluster(control_plane) == Ended(0, _TABLE, "")
    assert router.tokens == ["", "", "Bearer secret"]


def test_no_pod_is_ready(control_plane: PretendedCluster) -> None:
    """A pod that is not ready, or is being deleted, is not asked."""
    control_plane.pods = [
        pod("a", ready="False"),
        pod("b", deletionTimestamp="2026-11-20T10:00:00Z"),
        {"metadata": {"name": "c"}},
    ]
    ended = in_cluster(control_plane)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "has 3 pods, and none of them is ready" in ended.stderr


def test_no_such_deployment(control_plane: PretendedCluster) -> None:
    """The message names what was looked for, and the options for it."""
    ended = in_cluster(control_plane, "--deployment", "other", "--namespace", "ns")
    assert ended.exit_code == 1
    assert "there is no Deployment other in namespace ns" in ended.stderr
    assert "--deployment" in ended.stderr


@pytest.mark.parametrize(
    ("part", "verb", "resource"),
    [
        pytest.param("/deployments/", "get", "deployments.apps", id="deployment"),
        pytest.param("/pods", "list", "pods", id="pods"),
        pytest.param("/portforward", "get", "pods/portforward", id="port-forward"),
    ],
)
def test_missing_permission(control_plane: PretendedCluster, part: str, verb: str, resource: str) -> None:
    """A 403 names verb and resource, wherever it comes from."""
    control_plane.refuses[part] = 403, "forbidden: whoever cannot"
    ended = in_cluster(control_plane)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert f"the permission to {verb} {resource}" in ended.stderr


def test_what_the_kubelet_says_is_passed_on(control_plane: PretendedCluster) -> None:
    """Where nothing listens in the pod, the kubelet's words are the message."""
    control_plane.kubelet_says = "error forwarding port 1936 to pod 7: connection refused"
    ended = in_cluster(control_plane)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert (
        "port 1936 of pod openshift-ingress/tcp-router-b does not answer as a router does: error forwarding port"
        in ended.stderr
    )


def test_no_api_server(control_plane: PretendedCluster) -> None:
    """An API server that is not there is named."""
    control_plane.stop_listening()
    ended = in_cluster(control_plane)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert f"127.0.0.1:{control_plane.port}: Connection refused" in ended.stderr


@pytest.mark.parametrize("control_plane", ["tls"], indirect=True)
def test_an_api_server_that_is_another(control_plane: PretendedCluster) -> None:
    """A certificate of another CA ends the command before credentials are sent."""
    control_plane.ca_file, _ = private_ca(control_plane.directory)
    ended = in_cluster(control_plane)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "its certificate does not verify" in ended.stderr
    assert control_plane.asked == []


def test_a_port_forward_that_hangs(control_plane: PretendedCluster) -> None:
    """An API server that takes the request and says nothing is given up on after the deadline."""
    control_plane.hangs = True
    credentials = Credentials(loader(KubeSettings(kubeconfig=control_plane.kubeconfig()), {}, control_plane.directory))
    with (
        pytest.raises(ApiUnreachable, match="no answer within the deadline"),
        forwarded(credentials, "openshift-ingress", "tcp-router-b", 1936, 0.2),
    ):
        pass
    control_plane.cut_connections()
