"""Private keys are where HAProxy reads them, and nowhere else: looked for in all that a router writes, says and leaves behind in a life with faults."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Make
from tests.e2e.test_external_certificates import HOST, grants, named, rights, secret_of, shows
from tests.support.certificates import Made, make
from tests.support.cluster import Cluster, http_cluster
from tests.support.commands import run_process, write_manifests
from tests.support.objects import app, tls_secret
from tests.support.ports import free_port, free_ports
from tests.support.router_process import RouterProcess, http_get
from tests.support.sabotage import Sabotage
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

PAGES = ("/", "/ports", "/metrics", "/readyz", "/healthz", "/nothing")


def broken(good: Made, other: Made) -> dict[str, tuple[str, str]]:
    """Give certificates and keys as mistakes and malice write them, by a name for each."""
    two = good.key + other.key
    return {
        "wrong-key": (good.pem, other.key),
        "two-keys": (good.pem, two),
        "key-in-certificate": (good.key + other.pem, ""),
        "swapped": (good.key, good.pem),
        "cut": (good.pem, good.key[:-40]),
        "empty-lines": (good.pem, good.key.replace("\n", "\n\n")),
        "nul": (good.pem, good.key.replace("\n", "\n\0", 1)),
        "latin": (good.pem, good.key.replace("\n", "\n\xe9", 1)),
        "encrypted": (good.pem, good.key.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n", 1)),
        "megabyte": (good.pem, good.key + "x" * 900_000),
        "unknown-block": (good.pem, good.key.replace("PRIVATE KEY", "SECRET KEY")),
    }


def parts(*certificates: Made) -> list[bytes]:
    """Give the lines of keys, less those that other keys have too."""
    return [line.encode() for made in certificates for line in made.key.splitlines()[2:-1]]


def check(found: dict[str, bytes], *certificates: Made) -> None:
    """See that nothing of a key is in any of these."""
    for what, content in found.items():
        assert not [part for part in parts(*certificates) if part in content], what


def written(router: RouterProcess, *but: Path) -> dict[str, bytes]:
    """Give all that was written by the router and HAProxy, but for files with keys, which nobody else may read."""
    found = {}
    for path in (path for path in router.directory.rglob("*") if path.is_file() or path.is_symlink()):
        if any(path.is_relative_to(each) for each in but):
            continue
        if path.name.startswith("cert-"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        else:
            found[str(path)] = path.read_bytes()
    assert {Path(path).name for path in found} >= {"log", "haproxy.cfg", "traffic"}
    return found


def answered(router: RouterProcess, *askers: str) -> dict[str, bytes]:
    """Give what is answered over HTTP."""
    return {page: http_get(router.http_port, page)[1].encode() for page in (*PAGES, *(f"/explain/{a}" for a in askers))}


def cores_of(*pids: int) -> set[str]:
    """Give how large a core each process may leave."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/limits").read_text().splitlines()]
    return {line.split()[4] for line in lines if line.startswith("Max core file size")}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP."""
    with http_cluster(tmp_path) as cluster:
        yield cluster


@pytest.mark.timeout(300)
def test_on_a_cluster(cluster: Cluster) -> None:
    """With good and bad keys in Routes and Secrets, renewed, revoked, and HAProxy killed: not in statuses, Events, PortClaims, pages, logs or files."""
    good, other = make(HOST), make(HOST)
    cases = broken(good, other)
    ports = free_ports(2 * len(cases) + 2)
    pod = cluster.pod()
    accounts = ("openshift-ingress:router", f"{cluster.namespace}:tcp-router")
    for (name, (certificate, key)), port in zip(cases.items(), ports, strict=False):
        spec = {"host": HOST, "tls": {"termination": "edge", "certificate": certificate, "key": key}}
        secret = tls_secret(f"s-{name}", certificate, key, namespace=cluster.namespace)
        cluster.create(*app(f"r-{name}", port, pod, spec=spec), secret, *grants(cluster, *accounts, name=f"s-{name}"))
    for name, port in zip(cases, ports[len(cases) :], strict=False):
        cluster.create(*named(f"n-{name}", port, pod, f"s-{name}"))
    port = ports[-1]
    cluster.create(*named("good", port, pod, "db-tls"), secret_of(good), *grants(cluster, *accounts))
    router = cluster.router("--sni-port", "0", rights=rights(cluster.namespace)).start()
    cluster.wait_for_conditions("good", Admitted="True", PortClaimed="True")
    wait_for(lambda: shows(port, good), "the good one to be served")
    for name in cases:
        for kind in ("r", "n"):
            wait_for(lambda which=f"{kind}-{name}": cluster.conditions(which), f"{kind}-{name} to be told")  # type: ignore[misc]
            served = cluster.conditions(f"{kind}-{name}")["Admitted"]["status"]
            assert served == ("True" if name in {"two-keys", "empty-lines"} else "False"), (kind, name)
    cluster.client.patch("Secret", cluster.namespace, "db-tls", {"data": secret_of(other)["data"]})
    wait_for(lambda: shows(port, other), "the renewed one")
    assert cores_of(router.pid, *router.haproxy_pids()) == {"0"}
    os.kill(router.haproxy_pids()[-1], signal.SIGSEGV)
    wait_for(lambda: shows(port, other), "HAProxy to be back")
    found = answered(
        router, f"{cluster.namespace}/good", f"{cluster.namespace}/r-wrong-key", f"{cluster.namespace}/n-latin"
    )
    told = [
        obj
        for kind in ("Event", "PortClaim", "Lease", "Service")
        for obj in cluster.client.list(kind, cluster.namespace)
    ]
    told += [obj.get("status", {}) for obj in cluster.client.list("Route", cluster.namespace)]
    found["objects"] = json.dumps(told).encode()
    assert b"CertificateTaken" in found["objects"]
    router.stop()
    check({**found, **written(router)}, good, other)


def test_in_a_folder(make_router: Make, echo: TcpServer, tmp_path: Path) -> None:
    """Where turns of the loop fail, HAProxy refuses, and manifests cannot be read: tracebacks and problems have nothing of it, nor do commands print it."""
    good, other = make(HOST), make(HOST)
    sabotage = Sabotage(tmp_path)
    router = make_router(launcher=sabotage.launcher)
    port, pod = free_port(), (echo.address, echo.port)
    folder = router.manifests

    def objects(made: Made) -> list[dict[str, Any]]:
        return [*named("db", port, pod, "db-tls"), tls_secret("db-tls", made.pem, made.key)]

    router.write("db.yaml", *objects(good))
    for (name, (certificate, key)), other_port in zip(broken(good, other).items(), free_ports(20), strict=False):
        spec = {"host": HOST, "tls": {"termination": "edge", "certificate": certificate, "key": key}}
        router.write(f"{name}.yaml", *app(name, other_port, pod, spec=spec))
    (folder / "pasted.yaml").write_text(f"kind: Secret\napiVersion: v1\nmetadata: {{name: x}}\ndata:\n{good.key}")
    (folder / "typed.yaml").write_text(
        f"kind: Secret\napiVersion: v1\nmetadata: {{name: y}}\ndata: {json.dumps(other.key)}\n"
    )
    router.start()
    router.wait_admitted("team/db")
    assert shows(port, good)
    sabotage.order("fail 3")
    router.write("db.yaml", *objects(other))
    wait_for(lambda: shows(port, other), "the renewed one, after turns that failed")
    assert "Traceback" in router.log()
    os.kill(router.haproxy_pids()[-1], signal.SIGKILL)
    wait_for(lambda: shows(port, other), "HAProxy to be back")
    found = answered(router, "team/db", "team/wrong-key")
    at = ("--router", f"127.0.0.1:{router.http_port}")
    judged = ("--manifests", str(write_manifests(tmp_path / "one", *objects(good))))
    for command in (
        ("check", str(folder)), ("check", "--output", "json", str(folder)), ("render", str(folder)), ("explain", "team/db", *at),
        ("explain", "team/db", *judged), ("stunnel", "team/db", *judged), ("stunnel", "team/db", *at, "--accept", "127.0.0.1:1"),
        ("ports", "--address", f"127.0.0.1:{router.http_port}"),
    ):  # fmt: skip
        ended = run_process(*command)
        assert ended.exit_code in {0, 1, 2}, ended.stderr
        assert "Traceback" not in ended.stderr
        found[" ".join(command)] = (ended.stdout + ended.stderr).encode()
    os.kill(router.pid, signal.SIGABRT)
    assert router.process is not None
    router.process.wait(20)
    wait_for(lambda: not router.haproxy_pids(), "HAProxy to end with it")
    sabotage.close()
    check({**found, **written(router, folder)}, good, other)


def test_files_of_the_project_have_none() -> None:
    """Tests make their keys; what is in golden files, examples and pages is nobody's secret."""
    root = Path(__file__).parents[2]
    for path in (
        path
        for folder in ("docs", "manifests", "templates", "tests/golden", "router")
        for path in (root / folder).rglob("*")
    ):
        if path.is_file() and path.suffix != ".pyc":
            assert b"-----BEGIN PRIVATE KEY-----\nM" not in path.read_bytes(), path
