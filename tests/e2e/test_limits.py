"""Limits of Routes and namespaces in a whole router: on ports of the pool, after reloads, and where HAProxy chooses maxconn."""

from __future__ import annotations

from contextlib import ExitStack

from tests.e2e.conftest import Make
from tests.support.clients import connect, echoes, served
from tests.support.exposition import Exposition
from tests.support.objects import app
from tests.support.ports import free_ports
from tests.support.programs import requires_program
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import echo_server


def taken(held: ExitStack, port: int, tries: int) -> int:
    """Open so many connections and hold them; give how many of them are served."""
    return sum(echoes(held.enter_context(connect(port))) for _ in range(tries))


def metrics(router: RouterProcess) -> Exposition:
    """Read the metrics."""
    return Exposition(http_get(router.http_port, "/metrics")[1].encode())


def test_routes_on_ports_of_the_pool(make_router: Make) -> None:
    """A Route and a namespace that a section of the pool serves, without a reload, have the limits of all others."""
    first, second, other = free_ports(3)
    pool = ",".join(map(str, (first, second, other)))
    router = make_router(
        "--port-pool", pool, "--max-connections", "100",
        "--max-connections-per-route", "4", "--max-connections-per-namespace", "6",
    )  # fmt: skip
    router.start()
    with echo_server(address="127.0.0.2") as pod, ExitStack() as held:
        place = (pod.address, pod.port)
        for name, port, namespace in (("first", first, "a"), ("second", second, "a"), ("other", other, "b")):
            objects = [
                {**obj, "metadata": {**obj["metadata"], "namespace": namespace}} for obj in app(name, port, place)
            ]
            router.write(f"{name}.yaml", *objects)
            router.wait_admitted(f"{namespace}/{name}")
        assert metrics(router).value("tcp_router_reloads_total", result="success") == 1
        assert taken(held, first, 6) == 4
        assert taken(held, second, 6) == 2
        assert taken(held, other, 6) == 4


def test_few_files(make_router: Make) -> None:
    """Where HAProxy computes maxconn from few file descriptors, one Route gets half of that, and another is served."""
    greedy, other = free_ports(2)
    limited = (str(requires_program("prlimit")), "--nofile=260:260")
    router = make_router("--threads", "1", launcher=limited)
    with echo_server(address="127.0.0.2") as pod, ExitStack() as held:
        place = (pod.address, pod.port)
        router.write("greedy.yaml", *app("greedy", greedy, place))
        router.write("other.yaml", *app("other", other, place))
        router.start()
        router.wait_admitted("team/greedy", "team/other")
        shown = metrics(router)
        takes = int(shown.value("haproxy_process_max_connections"))
        limit = int(shown.value("tcp_router_connection_limit", of="route"))
        assert limit == takes // 2 < 200
        assert taken(held, greedy, limit + 20) == limit
        assert served(other)
