"""A router on the host's network is replaced by another one beside it: two generations on one network, with nobody refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.clients import connect, echoes, served
from tests.support.commands import write_manifests
from tests.support.generation import AS_ANOTHER_USER, Generation
from tests.support.haproxy_control import controlled
from tests.support.network import migrate_requests, own_network
from tests.support.objects import app
from tests.support.ports import free_port, free_ports
from tests.support.probing import is_refused
from tests.support.router_process import http_get
from tests.support.servers import TcpServer, echo_server, greeting_server
from tests.support.stream import Stream
from tests.support.waiting import wait_for

_STREAMS = 6

FORMS = pytest.mark.parametrize("attached", [pytest.param(True, id="attached"), pytest.param(False, id="standalone")])

Make = Callable[..., Generation]


@pytest.fixture
def network() -> Iterator[None]:
    """A network of the test's own, in which all else is."""
    with own_network():
        migrate_requests(on=True)
        yield


@pytest.fixture
def pod_of_app(network: None) -> Iterator[TcpServer]:  # noqa: ARG001 - it is in it
    """A pod that echoes."""
    with echo_server() as server:
        yield server


@pytest.fixture
def ports(network: None) -> tuple[int, ...]:  # noqa: ARG001 - free there
    """The router's HTTP port, the port for TCP checks, and two of Routes."""
    return free_ports(4)


@pytest.fixture
def make(tmp_path: Path, ports: tuple[int, ...], pod_of_app: TcpServer) -> Iterator[Make]:
    """Make generations of one router with two Routes; all are ended after the test."""
    http, _, *of_routes = ports
    pod = (pod_of_app.address, pod_of_app.port)
    manifests = write_manifests(tmp_path / "manifests", *app("a", of_routes[0], pod), *app("b", of_routes[1], pod))
    with contextlib.ExitStack() as stack:

        def made(*options: str, attached: bool = True, launcher: tuple[str, ...] = ()) -> Generation:
            number = len(list(tmp_path.glob("g[0-9]*")))
            directory = tmp_path / f"g{number}"
            one = Generation(directory, manifests, http, *options, attached=attached, launcher=launcher)
            stack.callback(one.end)
            return one

        yield made


@FORMS
def test_nobody_is_refused_while_a_generation_is_replaced(
    make: Make, ports: tuple[int, ...], *, attached: bool
) -> None:
    """A new one starts beside it and is ready; then the old one ends: every connect is served, and one that is held lives on."""
    old = make(attached=attached).start()
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(ports[2 + n % 2])) for n in range(_STREAMS)]
        held = stack.enter_context(connect(ports[2]))
        assert echoes(held)
        new = make(attached=attached).start()
        goes_on(streams)
        old.tell_to_end()
        goes_on(streams)
        old.close_ports()
        goes_on(streams)
        assert echoes(held)
        assert old.router.haproxy_pids()
        held.close()
        old.wait_ended()
        goes_on(streams)
        assert [stream.bad for stream in streams] == [[]] * _STREAMS
    assert new.router.events("port set aside") == []


def told(port: int) -> bytes:
    """Give what a server says that speaks first."""
    with connect(port) as connection:
        return connection.recv(100)


def goes_on(streams: list[Stream]) -> None:
    """Wait until each stream made some more connections."""
    seen = [stream.good for stream in streams]
    wait_for(lambda: all(s.good > good + 20 for s, good in zip(streams, seen, strict=True)), "the streams to go on")


@FORMS
def test_nobody_is_refused_when_the_new_one_is_taken_back(
    make: Make, ports: tuple[int, ...], *, attached: bool
) -> None:
    """The old one was never told to end: it goes on, with its connections, while the new one drains and leaves."""
    old = make(attached=attached).start()
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(ports[2 + n % 2])) for n in range(_STREAMS)]
        held = [stack.enter_context(connect(ports[2]))]
        new = make(attached=attached).start()
        # The kernel spreads them over both.
        held += [stack.enter_context(connect(ports[2])) for _ in range(10)]
        assert all(map(echoes, held))
        new.tell_to_end()
        new.close_ports()
        goes_on(streams)
        assert all(map(echoes, held))
        for connection in held[1:]:
            connection.close()
        new.wait_ended()
        goes_on(streams)
        assert echoes(held[0])
        assert [stream.bad for stream in streams] == [[]] * _STREAMS
    assert old.is_ready()


def test_a_foreign_haproxy_of_our_user_shares_no_port(make: Make, ports: tuple[int, ...], tmp_path: Path) -> None:
    """Linux would let both listen; but the Route is told that the port is taken, and every client reaches whose port it is."""
    with controlled(tmp_path) as foreign, greeting_server(b"foreign") as pod:
        foreign.configure([ports[2]], pod.port)
        foreign.process.start(20)
        router = make().start().router
        row = router.wait_for_row("team/a", lambda row: row["verdict"] != "admitted", "rejected")
        assert row["reason"] == "PortUnavailable"
        router.wait_admitted("team/b")
        assert [told(ports[2]) for _ in range(50)] == [b"foreign"] * 50
        # Nor does it when another generation of this router, which may share its ports, is there too.
        other = make().start()
        assert [told(ports[2]) for _ in range(50)] == [b"foreign"] * 50
        assert [each["port"] for each in other.router.events("port set aside")] == [ports[2]]


def test_a_foreign_haproxy_that_joins_a_port_of_ours_is_joined_by_nobody(
    make: Make, ports: tuple[int, ...], tmp_path: Path
) -> None:
    """A port that is another generation's and a stranger's is a stranger's to the next one."""
    make().start()
    with controlled(tmp_path) as foreign, greeting_server(b"foreign") as pod:
        foreign.configure([ports[2]], pod.port)
        foreign.process.start(20)
        new = make().start()
        assert [each["port"] for each in new.router.events("port set aside")] == [ports[2]]


@pytest.mark.parametrize(
    "name", [pytest.param("tcp-router", id="of other Routes"), pytest.param("other", id="of another name")]
)
def test_another_router_shares_no_port(make: Make, ports: tuple[int, ...], tmp_path: Path, name: str) -> None:
    """It has the same user and the same ports, and says who it is: somebody else."""
    folder = tmp_path / "others"
    folder.mkdir()
    for path in (tmp_path / "manifests").iterdir():
        text = path.read_text(encoding="utf-8").replace("router-name: tcp-router", f"router-name: {name}")
        (folder / path.name).write_text(text, encoding="utf-8")
    make().start()
    stranger = make("--router-name", name, "--manifests", str(folder)).start()
    assert {each["port"] for each in stranger.router.events("port set aside")} == set(ports[2:])


def test_ports_of_one_with_another_user_are_taken_when_it_closes_them(make: Make, ports: tuple[int, ...]) -> None:
    """Linux refuses to share them. The new one is ready all the same, so that the old one is told to end, and takes them then."""
    old = make(launcher=AS_ANOTHER_USER).start()
    new = make().start()
    assert {each["port"] for each in new.router.events("port set aside")} == set(ports[2:])
    with connect(ports[2]) as held:
        assert echoes(held)
        old.tell_to_end()
        old.close_ports()
        wait_for(lambda: served(ports[2]) and served(ports[3]), "the new one to have both ports")
        assert echoes(held)
        new.router.wait_admitted("team/a", "team/b")
    old.wait_ended()


@FORMS
def test_health_ports_belong_to_one_generation(make: Make, ports: tuple[int, ...], *, attached: bool) -> None:
    """Until it is told to end the old one has the ports of HTTP and of TCP checks; then the new one, which is ready without them."""
    http, tcp = ports[:2]
    options = ("--tcp-health-port", str(tcp), "--canonical-hostname")
    old = make(*options, "old.example.com", attached=attached).start()
    new = make(*options, "new.example.com", attached=attached).start()
    assert new.is_alive()
    wait_for(lambda: not is_refused(tcp), "the port for TCP checks")
    assert hostnames(http) == {"old.example.com"}
    old.tell_to_end()
    wait_for(lambda: hostnames(http) == {"new.example.com"}, "the new one to have the HTTP port")
    wait_for(lambda: not is_refused(tcp), "the new one to have the port for TCP checks")
    assert old.is_alive()
    assert not old.is_ready()
    # A probe that asks the node's port would hear the wrong one; the sockets tell of their own.
    assert new.is_ready()
    assert http_get(http, "/readyz")[0] == 200


def hostnames(http_port: int) -> set[str]:
    """Give the hostnames in /ports, by which the generations of a test differ."""
    return {row["address"].partition(":")[0] for row in json.loads(http_get(http_port, "/ports")[1])}


def test_a_haproxy_that_is_restarted_beside_another_one_keeps_its_configuration(
    make: Make, ports: tuple[int, ...]
) -> None:
    """Its ports are in use by the other generation: whom its container may share them with is in the state directory."""
    make().start()
    new = make().start()
    assert new.pod is not None
    new.pod.kill_haproxy()
    new.pod.start_haproxy()
    wait_for(new.is_ready, "the new one to be ready again")
    assert "configuration kept" in new.pod.haproxy_log()
    assert not (new.state / "haproxy.cfg.refused").exists()
    assert served(ports[2])


def test_without_the_option_no_port_is_shared(make: Make, ports: tuple[int, ...]) -> None:
    """Whoever does not say that the host's network is meant gets what is said of a port that is in use."""
    make().start()
    alone = make("--no-host-network", "--listen", f"127.0.0.1:{free_port()}").start()
    assert {each["port"] for each in alone.router.events("port set aside")} == set(ports[2:])
