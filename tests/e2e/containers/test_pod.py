"""The pod of manifests/base on a real engine: HAProxy's container and the router's, with no more in common than volume and network.

They have the host's network, so that the sockets of the tests reach them; traffic is on loopback.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
import yaml

from tests.support.api_server import EVERY_ADDRESS
from tests.support.clients import connect
from tests.support.cluster import Cluster, http_cluster
from tests.support.docker_engine import Built
from tests.support.docker_pod import ASSIGNED_UID, MANIFESTS, SERVICE_ACCOUNT, STATE_DIR, DockerPod, run_in
from tests.support.objects import app
from tests.support.ports import free_port, free_ports
from tests.support.probing import exchange, is_open, is_refused, serves
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

# The first of them builds the image.
pytestmark = pytest.mark.timeout(900)

Tell = Callable[[str], None]
ADMITTED = {"Admitted": "True", "PortClaimed": "True"}
OPTIONS = (
    "--allow-loopback-endpoints", "--ports", "1-65535", "--sni-port", "0", "--bind-address", "127.0.0.1", "--reload-interval",
    "100ms",
)  # fmt: skip
STOPPING = {"TCP_ROUTER_SHUTDOWN_DELAY": "0", "TCP_ROUTER_DRAIN_TIMEOUT": "30s"}


class Folder:
    """Manifests that a router's container sees, at MANIFESTS."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o755)

    def write(self, name: str, *objects: dict[str, object]) -> None:
        """Put objects into a file, beside and renamed; whoever the container runs as can read it."""
        beside = self.path / f".{name}.new"
        beside.write_text(yaml.safe_dump_all(objects, sort_keys=False))
        beside.chmod(0o644)
        beside.rename(self.path / name)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder."""
    return Folder(tmp_path / "manifests")


@pytest.fixture
def pod(docker_client: docker.DockerClient, built: Built, folder: Folder) -> Iterator[DockerPod]:
    """A pod that follows the folder; not started yet."""
    options = ("--manifests", MANIFESTS, *OPTIONS)
    with DockerPod(docker_client, built, router_options=options, mounts={MANIFESTS: folder.path}, env=STOPPING) as pod:
        yield pod


def endpoint(server: TcpServer) -> tuple[str, int]:
    """Give a server as an endpoint."""
    return server.address, server.port


def test_traffic_and_reload(pod: DockerPod, folder: Folder, echo: TcpServer) -> None:
    """A Route's port leads to its pod; a Route that is added is served, and a connection that is open stays."""
    first, second = free_ports(2)
    folder.write("first.yaml", *app("first", first, endpoint(echo)))
    pod.start()
    pod.wait_admitted("team/first")
    with connect(first) as held:
        assert is_open(held)
        folder.write("second.yaml", *app("second", second, endpoint(echo)))
        pod.wait_admitted("team/second")
        assert exchange(second) == b"ping"
        assert is_open(held)
    assert pod.events(pod.router, "reloaded"), pod.log(pod.router)


def test_rights(pod: DockerPod, folder: Folder, echo: TcpServer) -> None:
    """Both run as the uid that was assigned, without any capability, and share the sockets, which nobody else may use."""
    port = free_port()
    folder.write("db.yaml", *app("db", port, endpoint(echo)))
    pod.start()
    pod.wait_admitted("team/db")
    for container in (pod.haproxy, pod.router):
        code, status = run_in(
            container, "grep", "-E", "^(Uid|Gid|Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):", "/proc/1/status"
        )
        assert code == 0, status
        known = {name: values.split() for name, _, values in (line.partition(":") for line in status.splitlines())}
        assert set(known["Uid"]) == {str(ASSIGNED_UID)}
        assert set(known["Gid"]) == {"0"}
        assert {int(known[f"Cap{kind}"][0], 16) for kind in ("Prm", "Eff", "Bnd", "Amb")} == {0}
        assert (known["NoNewPrivs"], known["Seccomp"]) == (["1"], ["2"])
        assert run_in(container, "touch", "/opt/tcp-router/new")[0] != 0
    code, modes = run_in(pod.router, "sh", "-c", f"stat -c '%a %u' {STATE_DIR}/run/*.sock")
    assert (code, set(modes.splitlines())) == (0, {f"600 {ASSIGNED_UID}"})


def test_probes(pod: DockerPod, folder: Folder, echo: TcpServer) -> None:
    """The Deployment's probes of HAProxy's container work in the image."""
    folder.write("db.yaml", *app("db", free_port(), endpoint(echo)))
    pod.start()
    pod.wait_admitted("team/db")
    for kind in pod.exec_probes("haproxy"):
        assert pod.probe("haproxy", kind)[0] == 0, kind


def test_haproxy_is_killed(pod: DockerPod, folder: Folder, echo: TcpServer, tell: Tell) -> None:
    """A HAProxy that was killed and started again serves what it served; the router reloads it afterwards as before."""
    first, second = free_ports(2)
    folder.write("first.yaml", *app("first", first, endpoint(echo)))
    pod.start()
    pod.wait_admitted("team/first")
    wait_for(
        lambda: run_in(pod.router, "grep", "-q", f":{first}", f"{STATE_DIR}/haproxy.cfg")[0] == 0, "the file to have it"
    )
    killed_s = time.monotonic()
    pod.kill(pod.haproxy)
    assert is_refused(first)
    started_s = time.monotonic()
    pod.haproxy.start()
    wait_for(lambda: serves(first), "the port to be served again", 60)
    served_s = time.monotonic()
    wait_for(pod.is_ready, "the router to be ready again", 60)
    tell(
        f"HAProxy killed: serving {served_s - started_s:.2f} s after its restart began, {served_s - killed_s:.2f} s "
        f"after the kill; ready after {time.monotonic() - started_s:.2f} s"
    )
    folder.write("second.yaml", *app("second", second, endpoint(echo)))
    pod.wait_admitted("team/second")
    assert exchange(second) == b"ping"
    assert exchange(first) == b"ping"


def test_router_is_killed(pod: DockerPod, folder: Folder, echo: TcpServer, tell: Tell) -> None:
    """Without its router HAProxy goes on; a router that is started again takes up what changed meanwhile, and cuts nothing."""
    first, second = free_ports(2)
    folder.write("first.yaml", *app("first", first, endpoint(echo)))
    pod.start()
    pod.wait_admitted("team/first")
    with connect(first) as held:
        assert is_open(held)
        pod.kill(pod.router)
        assert exchange(first) == b"ping"
        folder.write("second.yaml", *app("second", second, endpoint(echo)))
        started_s = time.monotonic()
        pod.router.start()
        wait_for(lambda: serves(second), "the new port to be served", 60)
        tell(f"router killed: level again {time.monotonic() - started_s:.2f} s after its restart began")
        pod.wait_admitted("team/first", "team/second")
        assert is_open(held)
        assert exchange(first) == b"ping"


def test_stop(pod: DockerPod, folder: Folder, echo: TcpServer, tell: Tell) -> None:
    """Stopped as the kubelet stops a pod: the router ends first, HAProxy then, with the last connection; both exit with 0."""
    port = free_port()
    folder.write("db.yaml", *app("db", port, endpoint(echo)))
    pod.start()
    pod.wait_admitted("team/db")
    with connect(port) as held:
        assert is_open(held)
        begun_s = time.monotonic()
        pod.begin_stop(pod.router)
        assert pod.exit_code(pod.router) == 0
        router_s = time.monotonic() - begun_s
        # Until HAProxy is told as well it serves: endpoints and load balancers in front may not have noticed yet.
        assert exchange(port) == b"ping"
        pod.begin_stop(pod.haproxy)
        wait_for(lambda: is_refused(port), "new connections to be refused", 60)
        assert is_open(held)
        pod.haproxy.reload()
        assert pod.haproxy.status == "running"
        closed_s = time.monotonic()
    assert pod.exit_code(pod.haproxy) == 0
    haproxy_s = time.monotonic() - closed_s
    tell(
        f"stopped: the router ended {router_s:.2f} s after the signal, HAProxy {haproxy_s:.2f} s after its last connection"
    )


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose API server runs on this machine."""
    with http_cluster(tmp_path) as cluster:
        assert cluster.server is not None
        # The containers share the network of the tests, whose pods are on loopback.
        cluster.server.storage.loopback = EVERY_ADDRESS
        yield cluster


def service_account(cluster: Cluster, folder: Path) -> dict[str, Path]:
    """Make the files that every pod has of its service account; the rights are those of manifests/base/rbac.yaml."""
    folder.mkdir(mode=0o755)
    known = cluster.client.configuration
    files = {
        "token": cluster.token_with_rights("tcp-router"),
        "ca.crt": Path(str(known.ssl_ca_cert)).read_text(),
        "namespace": cluster.namespace,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    return {SERVICE_ACCOUNT: folder}


def test_api_server(
    docker_client: docker.DockerClient, built: Built, api: Cluster, tmp_path: Path, echo: TcpServer, tell: Tell
) -> None:
    """With a service account, as in a pod: Routes of an API server are served, their status is written, changes are followed."""
    assert api.server is not None
    first, second = free_ports(2)
    api.create(*app("first", first, endpoint(echo)))
    place = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.server.port)}
    env = {**STOPPING, **place, "POD_NAMESPACE": api.namespace}
    mounts = service_account(api, tmp_path / "account")
    with DockerPod(docker_client, built, router_options=OPTIONS, mounts=mounts, env=env) as pod:
        begun_s = time.monotonic()
        pod.start()
        tell(f"pod started: ready after {time.monotonic() - begun_s:.2f} s")
        api.wait_for_conditions("first", **ADMITTED)
        assert exchange(first) == b"ping"
        api.create(*app("second", second, endpoint(echo)))
        api.wait_for_conditions("second", **ADMITTED)
        assert exchange(second) == b"ping"
        api.client.delete("Route", api.namespace, "first")
        wait_for(lambda: is_refused(first), "the port of the deleted Route to close")


def test_one_container(docker_client: docker.DockerClient, built: Built, folder: Folder, echo: TcpServer) -> None:
    """Outside of Kubernetes one container is enough: the router starts HAProxy itself, and stops it."""
    port, http_port = free_ports(2)
    folder.write("db.yaml", *app("db", port, endpoint(echo)))
    container = docker_client.containers.run(
        built.id,
        ["run", "--manifests", MANIFESTS, "--listen", f"127.0.0.1:{http_port}", *OPTIONS],
        detach=True, read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"], network_mode="host",
        tmpfs={STATE_DIR: "mode=0770,uid=1001,gid=0"}, volumes={str(folder.path): {"bind": MANIFESTS, "mode": "ro"}},
    )  # fmt: skip
    try:
        wait_for(lambda: serves(port), "the port to be served", 60)
        container.stop(timeout=60)
        assert container.wait(timeout=60)["StatusCode"] == 0, container.logs().decode()
        assert is_refused(port)
    finally:
        container.remove(force=True)


def test_low_port_without_capability(docker_client: docker.DockerClient, built: Built, folder: Folder) -> None:
    """In a network of its own a pod opens ports under 1024 by the sysctl that Kubernetes calls safe; no capability is needed."""
    holder = docker_client.containers.run(
        built.id, ["infinity"], entrypoint="sleep", detach=True, network_mode="none", stop_signal="SIGKILL",
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
    )  # fmt: skip
    try:
        folder.write("ssh.yaml", *app("ssh", 22, ("127.0.0.1", 2222)))
        options = ("--manifests", MANIFESTS, *OPTIONS)
        with DockerPod(
            docker_client, built, network=f"container:{holder.id}", router_options=options,
            mounts={MANIFESTS: folder.path}, env=STOPPING, user="1001:0",
        ) as pod:  # fmt: skip
            pod.haproxy.start()
            pod.wait_for_probe("haproxy", "startupProbe")
            pod.router.start()

            def row() -> list[dict[str, object]]:
                code, output = run_in(
                    pod.router, "tcp-router", "ports", "--output", "json", "--address", f"127.0.0.1:{pod.http_port}"
                )
                assert code in {0, 1}, output
                return [each for each in json.loads(output) if each["verdict"] == "admitted"] if code == 0 else []

            wait_for(row, "the Route to be admitted", 60)
            script = "import socket; socket.create_connection(('127.0.0.1', 22), 5)"
            assert run_in(pod.router, "python3", "-c", script) == (0, "")
    finally:
        holder.remove(force=True)
