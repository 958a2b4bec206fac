"""A real control plane of two processes, etcd and kube-apiserver, from the folder that KUBEBUILDER_ASSETS names.

The convention of envtest (sigs.k8s.io/controller-runtime, pkg/envtest), whose setup-envtest fetches the binaries. There are
no controllers: nobody makes EndpointSlices, and a namespace that is deleted stays.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.ports import free_port
from tests.support.waiting import wait_for

VARIABLE = "KUBEBUILDER_ASSETS"
_START_S = 60.0


@contextlib.contextmanager
def control_plane() -> Iterator[Path]:
    """Start both, give an administrator's kubeconfig, and take all of it down when left."""
    assets = Path(os.environ[VARIABLE])
    with tempfile.TemporaryDirectory(prefix="control-plane-") as temporary, contextlib.ExitStack() as stack:
        directory = Path(temporary)
        etcd_url, peer_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        etcd: list[str | Path] = [
            assets / "etcd", "--data-dir", directory / "etcd", "--listen-client-urls", etcd_url,
            "--advertise-client-urls", etcd_url, "--listen-peer-urls", peer_url, "--unsafe-no-fsync",
        ]  # fmt: skip
        _start(stack, directory / "etcd.log", etcd)
        port, token = free_port(), secrets.token_hex(16)
        (directory / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        _write_key(directory / "service-accounts.key")
        server: list[str | Path] = [
            assets / "kube-apiserver", "--etcd-servers", etcd_url, "--cert-dir", directory / "certificates",
            "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", str(port),
            "--token-auth-file", directory / "tokens.csv", "--authorization-mode", "RBAC",
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-account-key-file", directory / "service-accounts.key",
            "--service-account-signing-key-file", directory / "service-accounts.key",
            "--service-cluster-ip-range", "10.96.0.0/16", "--disable-admission-plugins", "ServiceAccount",
        ]  # fmt: skip
        log = directory / "kube-apiserver.log"
        process = _start(stack, log, server)
        url = f"https://127.0.0.1:{port}"
        wait_for(lambda: process.poll() is not None or _is_ready(url, token), "kube-apiserver to be ready", _START_S)
        assert process.poll() is None, log.read_text()[-4000:]
        yield _kubeconfig(directory, url, token)


def _start(stack: contextlib.ExitStack, log: Path, command: list[str | Path]) -> subprocess.Popen[bytes]:
    output = stack.enter_context(log.open("wb"))
    process = stack.enter_context(
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    )
    # kube-apiserver ends slowly when asked, and nothing here is worth keeping.
    stack.callback(process.kill)
    return process


def _is_ready(url: str, token: str) -> bool:
    # Its certificate signs itself, and is made anew at each start.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False


def _write_key(path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def _kubeconfig(directory: Path, url: str, token: str) -> Path:
    cluster = {"server": url, "certificate-authority": str(directory / "certificates" / "apiserver.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "envtest", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "envtest", "context": {"cluster": "envtest", "user": "admin"}}],
        "current-context": "envtest",
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path
