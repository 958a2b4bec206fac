"""Metrics by TLS, and for those only whom an API server lets read them."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import pytest

from router.cli.asked import ask
from router.cli.cluster import Cluster
from router.cli.metrics import protection
from router.cli.run import run
from router.cli.run_settings import RunSettings
from router.errors import SettingsError
from router.kube.connection import Connection, Deadlines
from router.kube.reviews import ACCESS_REVIEWS, TOKEN_REVIEWS
from router.observe.access import MetricsAccess, needs_tls
from router.observe.certificate import CertificateFiles
from router.observe.http import HttpServer, Page, Request
from router.settings import KubeSettings
from tests.support.api_server import ApiServer
from tests.support.certificates import client_context, server_context

TIMEOUT_S = 10.0
PAGES = {
    "/metrics": lambda: Page(b"metrics\n"),
    "/ports": lambda: Page(b"[]\n"),
    "/healthz": lambda: Page(b"ok\n"),
}
MAY_READ = {"apiGroups": ["route.openshift.io"], "resources": ["routers/metrics"], "verbs": ["get"]}


def get(port: int, path: str, token: str | None = None, *, tls: bool = False) -> tuple[int, str]:
    """Ask the HTTP port; give status and body."""
    connection: http.client.HTTPConnection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_S, context=client_context())
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    )
    try:
        connection.request("GET", path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def certificate(directory: Path, host: str) -> Path:
    """Make a certificate; the file has its key too."""
    server_context(directory, host)
    return directory / f"{host}.pem"


def shown_certificate(port: int) -> bytes | None:
    """Give the certificate that the port shows now."""
    with (
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain,
        client_context().wrap_socket(plain) as secure,
    ):
        return secure.getpeercert(binary_form=True)


def der(pem: Path) -> bytes:
    """Give the certificate of a PEM file."""
    text = pem.read_text()
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is to be undone at the end."""
    with ExitStack() as stack:
        yield stack


def serving(stack: ExitStack, **arguments: object) -> int:
    """Serve the pages; give the port."""
    server = HttpServer("127.0.0.1", 0, PAGES, **arguments)  # type: ignore[arg-type]
    stack.callback(server.stop)
    server.start()
    return server.port


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server where the account ``reader`` may read metrics and ``stranger`` may not."""
    with ApiServer() as api:
        api.create({"kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": [MAY_READ]})
        api.create(
            {
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "reader"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
                "subjects": [{"kind": "ServiceAccount", "namespace": "monitoring", "name": "reader"}],
            }
        )
        yield api


class Guarded:
    """A port whose metrics are guarded by an API server, and the time that it goes by."""

    def __init__(self, api: ApiServer, directory: Path, stack: ExitStack) -> None:
        self.now_s = 0.0
        self.api = api
        api.access.grant("router", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["create"]}])
        settings = KubeSettings(kubeconfig=api.kubeconfig(directory, "router"))
        self.connection = Connection.open(settings, deadlines=Deadlines(total_s=TIMEOUT_S))
        stack.callback(self.connection.close)
        guard = MetricsAccess(self.connection, "tcp-router", lambda: self.now_s)
        self.port = serving(stack, guards={"/metrics": guard})

    def token(self, name: str) -> str:
        """Give a token of an account."""
        return self.api.access.issue("monitoring", name)

    def reviews(self) -> list[str]:
        """Give the paths of the reviews so far."""
        return [request.path for request in self.api.requests if request.path in {TOKEN_REVIEWS, ACCESS_REVIEWS}]


@pytest.fixture
def guarded(api: ApiServer, tmp_path: Path, stack: ExitStack) -> Guarded:
    """Give a guarded port."""
    return Guarded(api, tmp_path, stack)


def test_who_may_read_reads(guarded: Guarded) -> None:
    """A token whose bearer may get routers/metrics is let through; health is for everybody."""
    assert get(guarded.port, "/metrics", guarded.token("reader")) == (200, "metrics\n")
    assert get(guarded.port, "/healthz") == (200, "ok\n")


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(None, id="no token"),
        pytest.param("", id="empty token"),
        pytest.param("made-up", id="unknown token"),
        pytest.param("x" * 20_000, id="much too long"),
    ],
)
def test_who_has_no_good_token(guarded: Guarded, shown: str | None) -> None:
    """Without a token that the API server knows nothing of the metrics is told."""
    seen, body = get(guarded.port, "/metrics", shown)
    assert (seen, "metrics\n" in body) == (401, False)


def test_who_has_no_right(guarded: Guarded) -> None:
    """A known account without the right is told what it lacks."""
    status, body = get(guarded.port, "/metrics", guarded.token("stranger"))
    assert status == 403
    assert "'system:serviceaccount:monitoring:stranger' may not get routers/metrics" in body


def test_other_schemes_are_refused(guarded: Guarded) -> None:
    """A password is no bearer token."""
    connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=TIMEOUT_S)
    connection.request("GET", "/metrics", headers={"Authorization": "Basic YTpi"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    connection.close()
    assert guarded.reviews() == []


def test_answers_are_remembered_for_a_short_time(guarded: Guarded) -> None:
    """Scrapes in a row ask once, refusals too; after ten seconds a right that was taken away is noticed."""
    reader, unknown = guarded.token("reader"), "made-up"
    for _ in range(3):
        assert get(guarded.port, "/metrics", reader)[0] == 200
        assert get(guarded.port, "/metrics", unknown)[0] == 401
    assert sorted(guarded.reviews()) == sorted([TOKEN_REVIEWS, ACCESS_REVIEWS, TOKEN_REVIEWS])
    guarded.api.delete("ClusterRoleBinding", "", "reader")
    assert get(guarded.port, "/metrics", reader)[0] == 200
    guarded.now_s = 10.0
    assert get(guarded.port, "/metrics", reader)[0] == 403


def test_without_an_answer_nobody_is_let_through(guarded: Guarded) -> None:
    """An API server that is away, or that does not let us ask, is 503; nothing of that is remembered."""
    token = guarded.token("reader")
    guarded.api.faults.forbid("create", "subjectaccessreviews")
    assert get(guarded.port, "/metrics", token)[0] == 503
    guarded.api.faults.allow("create", "subjectaccessreviews")
    assert get(guarded.port, "/metrics", token)[0] == 200
    guarded.now_s = 10.0
    guarded.connection.close()
    assert get(guarded.port, "/metrics", token)[0] == 503
    assert get(guarded.port, "/healthz")[0] == 200


def test_tls_and_plain_on_one_port(stack: ExitStack, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Metrics come by https only, health either way, and a client that breaks off TLS disturbs nobody."""
    pem = certificate(tmp_path, "metrics.example.com")
    files = CertificateFiles(pem, pem)
    guards = {"/metrics": needs_tls(), "/ports": needs_tls(but_locally=True)}
    port = serving(stack, guards=guards, tls_context=files.context)
    assert get(port, "/metrics", tls=True) == (200, "metrics\n")
    assert get(port, "/metrics")[0] == 403
    assert get(port, "/ports") == (200, "[]\n")
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as broken:
        broken.sendall(b"\x16nonsense that is no ClientHello")
        with contextlib.suppress(ConnectionResetError):
            broken.recv(100)
    assert get(port, "/healthz", tls=True) == get(port, "/healthz") == (200, "ok\n")
    assert capfd.readouterr().err == ""


def test_a_renewed_certificate_is_taken_up(stack: ExitStack, tmp_path: Path) -> None:
    """New files serve the next connection; a broken one leaves the one before in use."""
    former, other = certificate(tmp_path, "former"), certificate(tmp_path, "other")
    used = tmp_path / "tls.crt"
    used.write_bytes(former.read_bytes())
    files = CertificateFiles(used, used)
    port = serving(stack, tls_context=files.context)
    assert shown_certificate(port) == der(former)
    replacement = tmp_path / "new"
    for content, expected in ((other.read_bytes(), other), (b"nonsense", other), (former.read_bytes(), former)):
        replacement.write_bytes(content)
        replacement.replace(used)
        assert shown_certificate(port) == der(expected)


@pytest.mark.parametrize("content", [None, b"nonsense"], ids=["missing", "broken"])
def test_a_certificate_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    """At the start such files end the router, and the message names them."""
    path = tmp_path / "tls.crt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"tls\.crt"):
        CertificateFiles(path, path)


def test_api_server_that_is_gone(guarded: Guarded) -> None:
    """A server that refuses connections lets nobody through either."""
    guarded.api.faults.refuse_connections()
    assert get(guarded.port, "/metrics", guarded.token("reader"))[0] == 503


def test_the_table_of_ports_is_not_for_everybody_either(api: ApiServer, tmp_path: Path, stack: ExitStack) -> None:
    """What names every Route and pod is read by those alone who may read the metrics; the options of the command make it so."""
    kubeconfig = api.kubeconfig(tmp_path, "router")
    api.access.grant("router", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["create"]}])
    command = run.make_context("run", ["--kubeconfig", str(kubeconfig), "--metrics-auth", "kubernetes"])
    options = RunSettings(**command.params)
    cluster = Cluster.connect(options, ask({**command.params, "namespaces": ("team",)}, stack))
    stack.callback(cluster.connection.close)
    stack.callback(cluster.to_write.close)
    protected = protection(options, cluster, stack)
    port = serving(stack, guards=protected.guards)
    assert get(port, "/ports")[0] == 401
    assert get(port, "/ports", api.access.issue("monitoring", "stranger"))[0] == 403
    assert get(port, "/ports", api.access.issue("monitoring", "reader")) == (200, "[]\n")
    assert get(port, "/healthz") == (200, "ok\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(Request("", is_tls=True), None, id="https"),
        pytest.param(Request("", is_tls=False, is_local=True), None, id="over loopback"),
        pytest.param(Request("", is_tls=False), HTTPStatus.FORBIDDEN, id="plain from afar"),
    ],
)
def test_plain_http_over_loopback_alone(request_: Request, status: HTTPStatus | None) -> None:
    """The table of ports is given in plain HTTP where nobody reads along, to the command's port-forward for one."""
    refusal = needs_tls(but_locally=True)(request_)
    assert (refusal.status if refusal is not None else None) == status
