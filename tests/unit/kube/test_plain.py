"""What is read of configurations without the kubernetes client is what the client makes of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject

from router.kube import by_client, plain
from router.kube.access import Access, Unread
from router.kube.configuration import Credentials
from tests.support.certificates import server_context

_FIELDS = ("host", "verify_ssl", "ssl_ca_cert", "cert_file", "key_file")


def _config(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example.com:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        "current-context": "x",
        **more,
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Give a folder with a certificate and its key, ``api.pem``."""
    server_context(tmp_path, "api")
    return tmp_path


def _written(folder: Path, config: object) -> Path:
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def _same(ours: Access | None, by_the_client: Access) -> None:
    assert ours is not None
    assert [getattr(ours, name) for name in _FIELDS] == [getattr(by_the_client, name) for name in _FIELDS]
    assert (ours.token() or "").strip() == (by_the_client.token() or "").strip()
    pools, theirs = ours.pools(7), by_the_client.pools(7)
    assert type(pools) is type(theirs)
    named = {name: value for name, value in theirs.connection_pool_kw.items() if value is not None}
    assert {name: value for name, value in pools.connection_pool_kw.items() if value is not None} == named
    again = RESTClientObject(cast("Configuration", ours.for_client())).pool_manager
    named.pop("maxsize")
    assert {name: again.connection_pool_kw.get(name) for name in named} == named


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(_config(), id="a server alone"),
        pytest.param(_config({"server": "http://127.0.0.1:8001/"}), id="plain HTTP"),
        pytest.param(_config({"certificate-authority": "api.pem"}, {"token": "secret"}), id="CA and token"),
        pytest.param(_config({"certificate-authority": "./more/../api.pem"}), id="CA by another way"),
        pytest.param(
            _config({"tls-server-name": "api.internal", "insecure-skip-tls-verify": True}), id="names and trust"
        ),
        pytest.param(
            _config(user={"client-certificate": "api.pem", "client-key": "api.pem"}), id="a client's certificate"
        ),
        pytest.param(_config(contexts=[{"name": "x", "context": {"cluster": "c"}}]), id="nobody"),
    ],
)
def test_plain_kubeconfigs_are_read_as_the_client_reads_them(files: Path, config: dict[str, Any]) -> None:
    """Server, trust, certificates, token, and what the pools are made with."""
    path = _written(files, config)
    _same(plain.of_kubeconfig([path], None, {}), by_client.of_kubeconfig([path], str(path), None))
    _same(plain.of_kubeconfig([path], "x", {}), by_client.of_kubeconfig([path], str(path), "x"))


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(_config(user={"exec": {"command": "login"}}), id="a plugin"),
        pytest.param(_config(user={"auth-provider": {"name": "oidc"}}), id="a provider"),
        pytest.param(_config(user={"tokenFile": "token"}), id="a token's file"),
        pytest.param(_config(user={"username": "a", "password": "b"}), id="a password"),
        pytest.param(_config({"certificate-authority-data": "aGVsbG8="}), id="a CA inside"),
        pytest.param(_config({"proxy-url": "http://proxy:3128"}), id="a proxy"),
        pytest.param(_config({"certificate-authority": "absent.pem"}), id="no such file"),
        pytest.param(_config({"certificate-authority": 5}), id="a file that is no text"),
        pytest.param(_config({"insecure-skip-tls-verify": "yes"}), id="no boolean"),
        pytest.param(_config({"server": ""}), id="no server"),
        pytest.param(_config(user={"token": 5}), id="a token that is no text"),
        pytest.param(_config(users=[]), id="no such user"),
        pytest.param(_config(users=[{"name": "u", "user": {}}, {"name": "u", "user": {}}]), id="two of one name"),
        pytest.param(_config(clusters=None), id="no clusters"),
        pytest.param(_config(contexts={}), id="no list"),
        pytest.param(_config(contexts=["x"]), id="a list of something else"),
        pytest.param({**_config(), "current-context": ""}, id="no context"),
        pytest.param([], id="no mapping"),
    ],
)
def test_all_else_is_left_to_the_client(files: Path, config: object) -> None:
    """What it does, and what words it has for faults, is not repeated here."""
    assert plain.of_kubeconfig([_written(files, config)], None, {}) is None


def test_a_proxy_of_the_environment_and_several_files_are_left_to_the_client(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client knows for whom a proxy is, and how files are merged."""
    path = _written(files, _config())
    assert plain.of_kubeconfig([path, path], None, {}) is None
    assert plain.of_kubeconfig([path], None, {"https_proxy": "http://proxy:3128"}) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert plain.of_kubeconfig([path], None, {}) is None
    (files / "kubeconfig").write_text("{")
    assert plain.of_kubeconfig([path], None, {}) is None


@contextmanager
def _later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    clock = time.monotonic
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: clock() + seconds)
        yield


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1"])
def test_a_service_account_is_read_as_the_client_reads_it(
    files: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Server, CA and token; a rotated token is read after a minute, and the last one is kept while there is none."""
    (files / "api.pem").rename(files / "ca.crt")
    (files / "token").write_text("first\n")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    ours = plain.of_service_account(files, environ)
    _same(ours, by_client.of_service_account(files, environ))
    assert ours is not None
    (files / "token").write_text("second\n")
    assert ours.token() == "bearer first"
    with _later(monkeypatch, 61):
        assert ours.token() == "bearer second"
    credentials = Credentials(lambda: cast("Access", ours))
    assert credentials.headers(1.0) == {"Authorization": "bearer second"}
    (files / "token").write_text("")
    with _later(monkeypatch, 130):
        assert credentials.headers(1.0) == {"Authorization": "bearer second"}
        with pytest.raises(Unread, match="is empty"):
            ours.token()
    (files / "token").unlink()
    with _later(monkeypatch, 130), pytest.raises(Unread, match="No such file"):
        ours.token()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: (folder / "token").unlink(), id="no token"),
        pytest.param(lambda folder: (folder / "token").write_text(""), id="an empty token"),
        pytest.param(lambda folder: (folder / "ca.crt").unlink(), id="no CA"),
        pytest.param(lambda folder: (folder / "ca.crt").write_text(""), id="an empty CA"),
    ],
)
def test_a_service_account_with_a_fault_is_left_to_the_client(files: Path, spoil: Callable[[Path], object]) -> None:
    """It finds words for that."""
    (files / "api.pem").rename(files / "ca.crt")
    (files / "token").write_text("first\n")
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    assert plain.of_service_account(files, environ) is not None
    assert plain.of_service_account(files, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) is None
    spoil(files)
    assert plain.of_service_account(files, environ) is None
