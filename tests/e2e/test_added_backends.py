"""What HAProxy 3.4 and newer take without a reload, and older ones by one: backends that are added, and deleted again."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.haproxy.process.binary import find_binary
from router.haproxy.talk.cli_socket import command
from tests.e2e.test_auto_ports import reloads
from tests.support.certificates import server_context
from tests.support.clients import reached
from tests.support.cluster import Cluster, http_cluster
from tests.support.kube.pods import Wanted
from tests.support.level import metric
from tests.support.objects import ANNOTATIONS, app
from tests.support.ports import free_port, free_ports
from tests.support.probing import exchange, is_open, is_refused, serves
from tests.support.router_process import RouterProcess, http_get
from tests.support.waiting import wait_for

_ADDS = find_binary().adds_backends
"""Whether the HAProxy of these tests does: they hold for one that does not too, which is loaded anew."""

_BALANCE, _TIMEOUT = f"{ANNOTATIONS}balance", f"{ANNOTATIONS}timeout"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP."""
    with http_cluster(tmp_path) as made:
        yield made


def backends(router: RouterProcess) -> set[str]:
    """Give the backends that HAProxy has of Routes."""
    said = command(router.state / "run" / "haproxy.sock", "show backend", 10.0)
    return {line for line in said.splitlines() if line.startswith("be_tcp:")}


def wait_for_loads(router: RouterProcess, wanted: float) -> None:
    """Wait until there were so many; they are counted when all is done."""
    wait_for(lambda: reloads(router) == wanted, f"{wanted:.0f} loads")


def tls_app(cluster: Cluster, folder: Path, name: str, says: bytes, **annotations: str) -> None:
    """Make a passthrough Route, and a pod of its own that has its certificate and says this."""
    host = f"{name}.example.com"
    server_context(folder, host)
    pod = cluster.start(Wanted(says, certificate=folder / f"{host}.pem"))
    at = (pod.address, pod.port)
    cluster.create(*app(name, None, at, host=host, passthrough=True, annotations=annotations))


def test_passthrough_routes_without_a_pool(cluster: Cluster, tmp_path: Path) -> None:
    """Under their own names from the first moment on; what one leaves is deleted; a reload, and a HAProxy that dies, have all of it."""
    sni_port = free_port()
    router = cluster.router("--sni-port", str(sni_port)).start()
    hosts = [f"{name}.example.com" for name in ("first", "second", "third")]
    for host in hosts:
        name = host.partition(".")[0]
        tls_app(cluster, tmp_path, name, host.encode(), **({_BALANCE: "source"} if name == "third" else {}))
        wait_for(lambda host=host: reached(sni_port, host) == host.encode(), f"{host} to be served")  # type: ignore[misc]
        if name == "first":
            # The first of a shared port, and with it the port, takes a reload.
            before = reloads(router)
    wait_for_loads(router, before if _ADDS else before + 2)
    own = {f"be_tcp:{cluster.namespace}:{host.partition('.')[0]}" for host in hosts}
    assert backends(router) == own
    named = f'"port":{sni_port},"namespace":"{cluster.namespace}","route":"third","server":"pod:'
    wait_for(lambda: named in router.traffic(), "the connection to be logged")
    assert metric(router, "tcp_router_haproxy_adds_backends") == _ADDS
    cluster.client.delete("Route", cluster.namespace, "second")
    wait_for(lambda: reached(sni_port, hosts[1]) is None, "the deleted Route not to be served")
    if _ADDS:
        gone = f"be_tcp:{cluster.namespace}:second"
        wait_for(lambda: backends(router) == own - {gone}, "its section to be deleted")
        # Under the name that it had.
        cluster.client.delete("Service", cluster.namespace, "second")
        cluster.client.delete("EndpointSlice", cluster.namespace, "second-0")
        tls_app(cluster, tmp_path, "second", b"again")
        wait_for(lambda: reached(sni_port, hosts[1]) == b"again", "it to be served again")
        assert reloads(router) == before
    # A HAProxy that dies comes back with what is on disk.
    wait_for(lambda: f"be_tcp:{cluster.namespace}:third" in (router.state / "haproxy.cfg").read_text(), "the file")
    killed = set(router.haproxy_pids())
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: (there := set(router.haproxy_pids())) and not there & killed, "another HAProxy")
    wait_for(lambda: not is_refused(sni_port), "it to listen")
    wait_for(lambda: reached(sni_port, hosts[2]) == hosts[2].encode(), "HAProxy to be back")


def test_any_balance_on_ports_of_the_pool(cluster: Cluster) -> None:
    """Timeouts too, as far as some Route had such when HAProxy was loaded; a change while clients are there cuts none of them."""
    one, two, three = free_ports(3)
    cluster.create(*app("seen", three, cluster.pod(b"seen "), annotations={_TIMEOUT: "77s"}))
    router = cluster.router("--port-pool", f"{one},{two}").start()
    before = reloads(router)
    cluster.create(*app("db", one, cluster.pod(b"db "), annotations={_BALANCE: "source"}))
    # A Route is served as soon as it is there, its endpoints when they are.
    wait_for(lambda: exchange(one) == b"db ping", "the pod to answer")
    wait_for_loads(router, before if _ADDS else before + 1)
    cluster.create(*app("web", two, cluster.pod(b"")))
    wait_for(lambda: serves(two), "the pod to answer")
    with socket.create_connection(("127.0.0.1", two)) as held:
        assert is_open(held)
        cluster.client.patch("Route", cluster.namespace, "web", {"metadata": {"annotations": {_TIMEOUT: "77s"}}})
        serving = (
            (lambda: f"be_tcp:{cluster.namespace}:web" in backends(router))
            if _ADDS
            else (lambda: reloads(router) == before + 2)
        )
        wait_for(serving, "the other timeout")
        assert exchange(two) == b"ping"
        assert is_open(held)
    wait_for_loads(router, before if _ADDS else before + 2)
    named = f'"port":{two},"namespace":"{cluster.namespace}","route":"web","server":"pod:'
    wait_for(lambda: named in router.traffic(), "the connection to be logged")

    # The port is the pool's again, for whoever comes.
    cluster.client.delete("Route", cluster.namespace, "db")
    wait_for(lambda: is_refused(one), "the port to close")
    if _ADDS:
        wait_for(lambda: f"be_tcp:{cluster.namespace}:db" not in backends(router), "its section to be deleted")
        cluster.create(*app("next", one, cluster.pod(b"next ")))
        wait_for(lambda: exchange(one) == b"next ping", "the pod to answer")
        assert reloads(router) == before
        shown = {each[0]: each[2] for each in json.loads(http_get(router.http_port, "/page/router")[1])["samples"]}
        assert shown["tcp_router_haproxy_adds_backends"] == 1
