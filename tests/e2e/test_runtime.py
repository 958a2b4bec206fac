"""Changes without a reload: endpoints, pool ports, allowlists and SNI hosts, on a cluster and a real HAProxy."""

from __future__ import annotations

import contextlib
import functools
import json
import operator
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

from router.admission.allowlist import MAX_ENTRIES
from router.haproxy.talk.cli_socket import command
from tests.support.certificates import server_context
from tests.support.clients import reached, served
from tests.support.cluster import Cluster
from tests.support.kube.pods import Wanted
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, route, service
from tests.support.ports import free_port, free_ports
from tests.support.probing import Prober, exchange, is_open, is_refused
from tests.support.router_process import RouterProcess, http_get
from tests.support.waiting import wait_for


def reloads(router: RouterProcess) -> int:
    """Give how often HAProxy was started or reloaded."""
    page = http_get(router.http_port, "/metrics")[1]
    return sum(
        int(float(line.split()[-1])) for line in page.splitlines() if line.startswith("tcp_router_reloads_total")
    )


def move(cluster: Cluster, name: str, *endpoints: tuple[str, int]) -> None:
    """Give the endpoints of a Service others."""
    (new,) = endpoint_slice(name, *endpoints)
    cluster.client.patch(
        "EndpointSlice", cluster.namespace, f"{name}-0", {key: new[key] for key in ("endpoints", "ports")}
    )


def test_moved_endpoint_needs_no_reload(cluster: Cluster) -> None:
    """Traffic follows a pod that is replaced; a connection to the former one goes on, and no connection fails."""
    port = free_port()
    cluster.create(*app("db", port, cluster.pod(b"")))
    router = cluster.router().start()
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    with socket.create_connection(("127.0.0.1", port)) as held, Prober(port) as prober:
        assert is_open(held)
        for _ in range(5):
            new = cluster.pod(b"")
            move(cluster, "db", new)
            router.wait_for_row(f"{cluster.namespace}/db", functools.partial(leads_to, new), "moved")
        assert is_open(held)
    assert prober.failures == []
    assert reloads(router) == 1
    assert len(router.haproxy_pids()) == 2


def test_route_on_a_pool_port_needs_no_reload(cluster: Cluster) -> None:
    """A pool port is closed, open for the Route that claims it, and closed again; a reload keeps all of that."""
    port, other, outside = free_port(), free_port(), free_port()
    router = cluster.router("--port-pool", f"{port},{other}").start()
    wait_for(lambda: reloads(router) == 1, "the first configuration")
    assert is_refused(port)
    cluster.create(*app("db", port, cluster.pod(b"db ")))
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    assert exchange(port) == b"db ping"
    # The log names the Route, though the backend is the pool's.
    named = f'"port":{port},"namespace":"{cluster.namespace}","route":"db","server":"pod:'
    wait_for(lambda: named in router.traffic(), "the connection to be logged")
    assert reloads(router) == 1
    assert is_refused(other)
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert is_open_with(held, b"db ")
        cluster.create(*app("web", outside, cluster.pod(b"web ")))
        cluster.wait_for_conditions("web", Admitted="True", PortClaimed="True")
        assert reloads(router) == 2
        assert (exchange(port), exchange(outside)) == (b"db ping", b"web ping")
        assert is_refused(other)
        cluster.client.delete("Route", cluster.namespace, "db")
        wait_for(lambda: is_refused(port), "the port to be closed")
        assert is_open_with(held, b"db ")
    assert reloads(router) == 2


def leads_to(endpoint: tuple[str, int], row: dict[str, Any]) -> bool:
    """Whether a row of /ports leads to one endpoint only."""
    return [(server["address"], server["port"]) for server in row["servers"]] == [endpoint]


def is_open_with(connection: socket.socket, prefix: bytes) -> bool:
    """Whether an echo with a prefix still comes over a connection."""
    connection.sendall(b"still there?")
    return connection.recv(100) == prefix + b"still there?"


def annotate(cluster: Cluster, name: str, **annotations: str | None) -> None:
    """Change annotations of a Route; None removes one."""
    changes = {f"{ANNOTATIONS}{key.replace('__', '-')}": value for key, value in annotations.items()}
    cluster.client.patch("Route", cluster.namespace, name, {"metadata": {"annotations": changes}})


def pool_router(cluster: Cluster, ports: tuple[int, ...], *options: str) -> RouterProcess:
    """Start a router with these ports in its pool; its first configuration is in force."""
    router = cluster.router("--port-pool", ",".join(map(str, ports)), *options).start()
    assert reloads(router) == 1
    return router


def test_allowlist_on_a_pool_port_needs_no_reload(cluster: Cluster) -> None:
    """It is in force from the port's first moment on, can be changed and taken away; who is not on it is refused."""
    ports = free_ports(2)
    router = pool_router(cluster, ports)
    mine, other = "127.0.0.1", "127.0.0.3"

    def may_connect() -> list[str]:
        return [source for source in (mine, other) if served(ports[0], source=source)]

    cluster.create(*app("db", ports[0], cluster.pod(b""), annotations={f"{ANNOTATIONS}ip_allowlist": mine}))
    wait_for(lambda: may_connect() == [mine], "the pod to answer who may connect")
    annotate(cluster, "db", ip_allowlist="127.0.0.2/31")
    wait_for(lambda: may_connect() == [other], "the other network to have its turn")
    annotate(cluster, "db", ip_allowlist=None)
    wait_for(lambda: may_connect() == [mine, other], "everybody to be let in")
    annotate(cluster, "db", ip_allowlist=other)
    wait_for(lambda: may_connect() == [other], "the list to be there again")
    cluster.client.delete("Route", cluster.namespace, "db")
    wait_for(lambda: is_refused(ports[0]), "the port to be closed")
    cluster.create(route("web", ports[0], service="db"))
    wait_for(lambda: may_connect() == [mine, other], "the port to open for the next Route")
    assert reloads(router) == 1


def test_the_longest_allowlist_is_changed_without_a_reload(cluster: Cluster) -> None:
    """All of 2,000 entries are replaced by others while HAProxy runs; one more is a rejection, and the other Route is served."""
    ports = free_ports(2)
    router = pool_router(cluster, ports)
    lists = [
        " ".join(["127.0.0.1", *(f"10.{first}.{number // 250}.{number % 250}" for number in range(MAX_ENTRIES - 1))])
        for first in (1, 2)
    ]
    cluster.create(*app("db", ports[0], cluster.pod(b""), annotations={f"{ANNOTATIONS}ip_allowlist": lists[0]}))
    wait_for(lambda: served(ports[0], source="127.0.0.1"), "the port to open")
    annotate(cluster, "db", ip_allowlist=lists[1])
    stats = router.state / "run" / "haproxy.sock"
    listed = f"show acl #{ports[0]}"
    wait_for(lambda: "10.2.7.248" in command(stats, listed, 5.0), "the other list to be in force")
    wait_for(lambda: "10.1." not in command(stats, listed, 5.0), "the former to be gone")
    assert len(command(stats, listed, 5.0).split("\n")) - 2 == MAX_ENTRIES
    assert served(ports[0], source="127.0.0.1")
    assert not served(ports[0], source="127.0.0.3")
    annotate(cluster, "db", ip_allowlist=f"{lists[1]} 10.3.0.1")
    cluster.create(*app("web", ports[1], cluster.pod(b"")))
    cluster.wait_for_conditions("web", Admitted="True", PortClaimed="True")
    row = router.wait_for_row(f"{cluster.namespace}/db", lambda found: found["verdict"] == "rejected", "rejected")
    assert "has 2001 entries; accepted are up to 2000" in row["message"]
    assert reloads(router) == 1


def test_new_passthrough_route_needs_no_reload(cluster: Cluster, tmp_path: Path) -> None:
    """A TLS client reaches the Route of its server name; when the Route is gone it reaches nobody."""
    sni_port = free_port()
    router = pool_router(cluster, (), "--sni-port", str(sni_port), "--sni-pool", "2")
    hosts = ("one.example.com", "two.example.com")
    for host in hosts:
        server_context(tmp_path, host)
        pod = cluster.start(Wanted(host.encode(), certificate=tmp_path / f"{host}.pem"))
        name = host.partition(".")[0]
        cluster.create(
            route(name, host=host, passthrough=True), service(name), *endpoint_slice(name, (pod.address, pod.port))
        )
    for host in hosts:
        wait_for(lambda host=host: reached(sni_port, host) == host.encode(), f"{host} to be served")  # type: ignore[misc]
    assert reached(sni_port, "three.example.com") is None
    cluster.client.delete("Route", cluster.namespace, "one")
    wait_for(lambda: reached(sni_port, hosts[0]) is None, "the deleted Route not to be served")
    assert reached(sni_port, hosts[1]) == hosts[1].encode()
    assert reloads(router) == 1


def test_options_that_need_a_reload_on_a_pool_port(cluster: Cluster) -> None:
    """The Route is served all the same, by a reload, with what it asks for; so is one that asks for it later."""
    ports = free_ports(3)
    router = pool_router(cluster, ports)
    balance = {f"{ANNOTATIONS}balance": "source"}
    cluster.create(*app("db", ports[0], cluster.pod(b"db "), annotations=balance))
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    assert exchange(ports[0]) == b"db ping"
    assert reloads(router) == 2
    cluster.create(*app("web", ports[1], cluster.pod(b"web ")))
    cluster.wait_for_conditions("web", Admitted="True", PortClaimed="True")
    assert reloads(router) == 2
    with Prober(ports[1]) as prober:
        annotate(cluster, "web", balance="source")
        wait_for(lambda: reloads(router) == 3, "the reload")
    assert [failure for failure in prober.failures if "answer" not in failure] == []
    assert exchange(ports[1]) == b"web ping"
    assert is_refused(ports[2])
    config = (router.state / "haproxy.cfg").read_text()
    assert config.count("balance source") == 2


def conditions(**values: bool) -> dict[str, Any]:
    """Make the conditions of an endpoint."""
    return {"ready": False, "serving": False, "terminating": False, **values}


def test_draining_endpoint_keeps_its_connection_and_gets_no_new_one(cluster: Cluster) -> None:
    """A pod that terminates and still serves: without a reload, and without cutting what it has."""
    port = free_port()
    router = pool_router(cluster, (port,))
    leaving, staying = cluster.pod(b""), cluster.pod(b"new ")
    cluster.create(*app("db", port, leaving))
    wait_for(lambda: exchange(port), "the pod to answer")
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert is_open(held)
        (second,) = endpoint_slice("db", staying)
        second["metadata"]["name"] = "db-1"
        cluster.create(second)
        wait_for(lambda: exchange(port) == b"new ping", "the new pod to be used")
        endpoint = {"addresses": [leaving[0]], "conditions": conditions(serving=True, terminating=True)}
        cluster.client.patch("EndpointSlice", cluster.namespace, "db-0", {"endpoints": [endpoint]})
        router.wait_for_row(
            f"{cluster.namespace}/db", lambda row: [s["weight"] for s in row["servers"]].count(0) == 1, "drained"
        )
        assert {exchange(port) for _ in range(20)} == {b"new ping"}
        assert is_open(held)
        cluster.client.delete("EndpointSlice", cluster.namespace, "db-0")
        router.wait_for_row(f"{cluster.namespace}/db", functools.partial(leads_to, staying), "gone")
        assert is_open(held)
    assert reloads(router) == 1


def test_removed_endpoint_does_not_cut_connections_where_a_dead_one_would(cluster: Cluster) -> None:
    """``on-marked-down: shutdown-sessions`` is for pods that fail their check; one that is only removed may end in peace."""
    port = free_port()
    router = cluster.router("--port-pool", str(port)).start()
    former, new = cluster.pod(b""), cluster.pod(b"new ")
    cluster.create(*app("db", port, former, annotations={f"{ANNOTATIONS}on-marked-down": "shutdown-sessions"}))
    wait_for(lambda: exchange(port), "the pod to answer")
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert is_open(held)
        before = reloads(router)
        move(cluster, "db", new)
        wait_for(lambda: exchange(port) == b"new ping", "the new pod to be used")
        assert {exchange(port) for _ in range(10)} == {b"new ping"}
        assert is_open(held)
    assert reloads(router) == before
    server = f"{former[0]}:{former[1]}"
    wait_for(lambda: server not in haproxy_says(router, "show servers state"), "the server to be deleted")


def test_failover_cuts_the_connections_to_the_former_pod(cluster: Cluster) -> None:
    """With ``on-removed: shutdown-sessions`` an endpoint that leaves takes its connections along; those to others go on."""
    port = free_port()
    router = cluster.router("--port-pool", str(port)).start()
    prefixes = {cluster.pod(prefix): prefix for prefix in (b"a ", b"b ")}
    # As their slices are numbered.
    former, other = sorted(prefixes, key=operator.itemgetter(1))
    gone, there = (prefixes[pod] + b"ping" for pod in (former, other))
    annotations = {f"{ANNOTATIONS}on-removed": "shutdown-sessions", f"{ANNOTATIONS}balance": "leastconn"}
    cluster.create(*app("db", port, former, other, annotations=annotations))
    router.wait_for_row(f"{cluster.namespace}/db", lambda row: len(row["servers"]) == 2, "served by both pods")
    wait_for(lambda: exchange(port), "the pod to answer")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(4)]
        answers = []
        for each in held:
            each.sendall(b"ping")
            answers.append(each.recv(100))
        assert set(answers) == {gone, there}
        before = reloads(router)
        move(cluster, "db", other)
        for each, answer in zip(held, answers, strict=True):
            if answer == gone:
                assert each.recv(1) == b""
        for each, answer in zip(held, answers, strict=True):
            if answer == there:
                each.sendall(b"ping")
                assert each.recv(100) == there
    assert reloads(router) == before


def haproxy_says(router: RouterProcess, text: str) -> str:
    """Ask the worker in charge."""
    (path,) = [path for path in (router.state / "run").iterdir() if path.name == "haproxy.sock"]
    return command(path, text, 10.0)


def test_route_is_named_while_the_pool_serves_it(cluster: Cluster) -> None:
    """In the traffic log, /ports and /metrics a Route is itself, whatever HAProxy calls its backend."""
    port = free_port()
    router = pool_router(cluster, (port,))
    cluster.create(*app("db", port, cluster.pod(b"db ")))
    wait_for(lambda: exchange(port), "the pod to answer")
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert is_open_with(held, b"db ")
        row = router.wait_for_row(f"{cluster.namespace}/db", lambda row: row["sessions"] == 1, "one session")
        assert len(row["servers"]) == 1
        labels = rf'namespace="{cluster.namespace}",route="db"'
        current = re.compile(rf"^haproxy_backend_current_sessions{{.*{labels}.*}} 1(\.0)?$", re.MULTILINE)
        wait_for(lambda: current.search(http_get(router.http_port, "/metrics")[1]), "the metric")
    assert "pool:" not in http_get(router.http_port, "/metrics")[1]

    def lines() -> list[dict[str, Any]]:
        found = [
            json.loads(line) for line in router.traffic().splitlines() if line.startswith("{") and line.endswith("}")
        ]
        return [line for line in found if line["port"] == port and line.get("bytes_in")]

    wait_for(lines, "the line in the traffic log")
    assert {(line["namespace"], line["route"]) for line in lines()} == {(cluster.namespace, "db")}
    assert reloads(router) == 1


def test_killed_haproxy_comes_back_with_runtime_changes(cluster: Cluster) -> None:
    """All that was changed without a reload is served again, and what the file on disk did not have yet as well."""
    ports = free_ports(3)
    router = pool_router(cluster, ports)
    cluster.create(*app("db", ports[0], cluster.pod(b"db ")))
    wait_for(lambda: not is_refused(ports[0]), "the port to open")
    config = router.state / "haproxy.cfg"
    wait_for(lambda: f"be_tcp:{cluster.namespace}:db" in config.read_text(), "the file to be level")
    cluster.create(*app("web", ports[1], cluster.pod(b"web ")))
    wait_for(lambda: not is_refused(ports[1]), "the port to open")
    master = router.haproxy_pids()[0]
    os.kill(master, signal.SIGKILL)
    wait_for(lambda: router.events("haproxy restarted"), "the restart")
    wait_for(lambda: exchange(ports[0]) == b"db ping", "the Route of the file to be served")
    wait_for(lambda: exchange(ports[1]) == b"web ping", "the later Route to be served")
    assert is_refused(ports[2])
    move(cluster, "web", cluster.pod(b"new "))
    wait_for(lambda: exchange(ports[1]) == b"new ping", "changes to be followed")
    wait_for(lambda: f"be_tcp:{cluster.namespace}:web" in config.read_text(), "the file to be level again")


def test_dead_pod_gets_no_connection_after_a_reload(cluster: Cluster) -> None:
    """A reload does not forget that a pod failed its checks: no client waits for it again."""
    port, *outside = free_ports(4)
    router = pool_router(cluster, (port,), "--check-interval", "200ms")
    alive = cluster.pod(b"")
    dead = cluster.start(Wanted())
    cluster.create(*app("db", port, alive, (dead.address, dead.port)))
    wait_for(lambda: exchange(port), "the pod to answer")
    dead.end()

    def is_down() -> bool:
        states = [line.split() for line in haproxy_says(router, "show servers state").splitlines()]
        return any(len(line) > 6 and f"{dead.port}" in line[3] and line[5:7] == ["0", "0"] for line in states)

    wait_for(is_down, "the dead pod to be noticed")
    before = len(router.traffic())
    with Prober(port) as prober:
        for number, other in enumerate(outside):
            cluster.create(*app(f"web{number}", other, alive, annotations={f"{ANNOTATIONS}balance": "source"}))
            cluster.wait_for_conditions(f"web{number}", Admitted="True", PortClaimed="True")
            had = prober.succeeded
            wait_for(lambda had=had: prober.succeeded > had + 20, "connections after the reload")  # type: ignore[misc]
    assert reloads(router) == 4
    assert prober.failures == []
    lines = [json.loads(line) for line in router.traffic()[before:].splitlines() if line[:1] + line[-1:] == "{}"]
    met = [
        line for line in lines if line["port"] == port and (line["retries"] != "0" or str(dead.port) in line["server"])
    ]
    assert met == []


def test_pool_ports_are_closed_after_reloads_and_restarts(cluster: Cluster) -> None:
    """Whatever starts a worker, ports that nobody claims refuse connections, and those that are claimed serve."""
    ports = free_ports(4)
    router = pool_router(cluster, ports)
    cluster.create(*app("db", ports[0], cluster.pod(b"")))
    wait_for(lambda: not is_refused(ports[0]), "the port to open")

    def as_it_should_be() -> bool:
        return [is_refused(port) for port in ports] == [False, True, True, True]

    assert as_it_should_be()
    annotate(cluster, "db", balance="source")
    wait_for(lambda: reloads(router) == 2, "the reload")
    assert as_it_should_be()
    master = router.haproxy_pids()[0]
    os.kill(master, signal.SIGKILL)
    wait_for(lambda: router.events("haproxy restarted"), "the restart")
    wait_for(as_it_should_be, "the ports to be as they should")


def test_foreign_listener_on_a_closed_pool_port(cluster: Cluster) -> None:
    """The Route that claims the port is told so, and served when it is free; no other client ever notices."""
    ports = free_ports(3)
    router = pool_router(cluster, ports)
    cluster.create(*app("db", ports[0], cluster.pod(b"")))
    wait_for(lambda: exchange(ports[0]), "the pod to answer")
    with Prober(ports[0]) as prober:
        with socket.create_server(("127.0.0.1", ports[1])):
            cluster.create(*app("late", ports[1], cluster.pod(b"late ")), *app("web", ports[2], cluster.pod(b"web ")))
            row = f"{cluster.namespace}/late"
            router.wait_for_row(row, lambda row: row["reason"] == "PortUnavailable", "reported")
            wait_for(lambda: exchange(ports[2]) == b"web ping", "the other Route to be served")
        wait_for(lambda: exchange(ports[1]) == b"late ping", "the Route to be served when the port is free")
    assert prober.failures == []
    assert prober.succeeded
    # A load that HAProxy had to give up for the port would have been seen: it is told as failed.
    page = http_get(router.http_port, "/metrics")[1]
    assert 'tcp_router_reloads_total{result="failed"} 0.0' in page


def test_many_routes_at_once_on_a_pool(cluster: Cluster) -> None:
    """Routes that come as fast as the API takes them are all served, without a reload; and go as well."""
    count = 300
    ports = free_ports(count)
    router = pool_router(cluster, ports)
    pod = cluster.pod(b"")
    cluster.create(service("db"), *endpoint_slice("db", pod))
    for number, port in enumerate(ports):
        cluster.create(route(f"r{number}", port, service="db"))
    wait_for(lambda: all(served(port) for port in ports), "every port to serve", 60)
    assert reloads(router) == 1
    for number in range(0, count, 2):
        cluster.client.delete("Route", cluster.namespace, f"r{number}")
    wait_for(lambda: all(is_refused(port) for port in ports[::2]), "the ports of deleted Routes to be closed", 60)
    assert all(served(port) for port in ports[1::2])
    assert reloads(router) == 1


def test_templates_of_another_form_are_reloads(cluster: Cluster, tmp_path: Path) -> None:
    """Sections that commands cannot be trusted to change are changed by reloads: slower, and nothing is lost."""
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "route.cfg.j2").write_text(
        '{% include "packaged/route.cfg.j2" %}\nbackend beside:{{ route.backend.name }}\n  balance random\n'
    )
    ports = free_ports(2)
    router = pool_router(cluster, ports, "--template-dir", str(templates))
    cluster.create(*app("db", ports[0], cluster.pod(b"a ")))
    wait_for(lambda: exchange(ports[0]) == b"a ping", "the Route to be served")
    wait_for(lambda: reloads(router) > 1, "the reload to be counted")
    before = reloads(router)
    with socket.create_connection(("127.0.0.1", ports[0])) as held:
        assert is_open_with(held, b"a ")
        move(cluster, "db", cluster.pod(b"b "))
        wait_for(lambda: exchange(ports[0]) == b"b ping", "the new endpoint to be used")
        assert is_open_with(held, b"a ")
    wait_for(lambda: reloads(router) > before, "the reload to be counted")
    cluster.client.delete("Route", cluster.namespace, "db")
    wait_for(lambda: is_refused(ports[0]), "the port to be closed")
