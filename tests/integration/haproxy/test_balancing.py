"""Which pod a connection goes to: the same on every replica, over reloads, and whatever came and went before."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import structlog.testing
from msgspec import structs

from router.admission.weights import largest_weight
from router.model import Model, Server
from router.plan import Reload, RuntimeUpdate
from tests.support.clients import connect
from tests.support.models import section, server
from tests.support.ports import free_port
from tests.support.runtime import Applying, applying
from tests.support.servers import TcpServer, greeting_server
from tests.support.waiting import wait_for

CLIENTS = [f"127.0.2.{number}" for number in range(1, 101)]
PORT = free_port()
OTHER_PORT = free_port()


@contextlib.contextmanager
def pods(count: int) -> Iterator[list[TcpServer]]:
    """Give pods that say their number."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(greeting_server(str(number).encode())) for number in range(count)]


def servers(of: Sequence[TcpServer], weight: int = 1) -> list[Server]:
    """Give the servers of pods."""
    return [server(each.port, weight=weight) for each in of]


def model(*of: Server, balance: str = "source", check_interval_ms: int = 0, server_maxconn: int | None = None) -> Model:
    """Give a model with one Route, whose pods are not checked unless that is asked for."""
    made = section("db", PORT, *of, balance=balance, check_interval_ms=check_interval_ms, server_maxconn=server_maxconn)
    return Model((made,))


def who(client: str = "127.0.0.1", to: str = "127.0.0.1", port: int = PORT) -> str:
    """Give the pod that a client is led to."""
    with connect(port, to=to, source=client) as connection:
        return connection.recv(10).decode()


def places(to: str = "127.0.0.1") -> dict[str, str]:
    """Give the pod of each client."""
    return {client: who(client, to) for client in CLIENTS}


def reload(changed: Applying, desired: Model) -> None:
    """Bring a model by a reload, for the sake of another timeout."""
    (route,) = desired.routes
    tunnel_ms = route.backend.timeout_tunnel_ms + len(changed.plans)
    again = replace(desired, routes=(replace(route, backend=replace(route.backend, timeout_tunnel_ms=tunnel_ms)),))
    assert isinstance(changed.bring(again), Reload)


def test_a_client_keeps_its_pod(tmp_path: Path) -> None:
    """On a second replica, after changes without a reload and after one; who had a pod that is gone moves, and nobody else."""
    with (
        pods(4) as of,
        applying(tmp_path / "a", "127.0.0.1") as changed,
        applying(tmp_path / "b", "127.0.0.2") as fresh,
    ):
        first, *others = servers(of, weight=64)
        changed.bring(model(first, *others[:2]))
        assert isinstance(changed.bring(model(first, *others)), RuntimeUpdate)
        with_all = places()
        assert set(with_all.values()) == {"0", "1", "2", "3"}
        assert isinstance(changed.bring(model(*others)), RuntimeUpdate)
        without_first = places()
        assert {client for client in CLIENTS if with_all[client] != without_first[client]} == {
            client for client, pod in with_all.items() if pod == "0"
        }
        fresh.bring(model(*others))
        assert places("127.0.0.2") == without_first
        reload(changed, model(*others))
        assert places() == without_first


def test_a_ring_whose_weights_were_changed_is_that_of_a_fresh_one(tmp_path: Path) -> None:
    """More and fewer points than a server was loaded with, by command, are those that it would have been loaded with."""
    with (
        pods(3) as of,
        applying(tmp_path / "a", "127.0.0.1") as changed,
        applying(tmp_path / "b", "127.0.0.2") as fresh,
    ):
        changed.bring(model(*(server(each.port, weight=weight) for each, weight in zip(of, (1, 256, 0), strict=True))))
        wanted = model(*(server(each.port, weight=weight) for each, weight in zip(of, (256, 32, 64), strict=True)))
        assert isinstance(changed.bring(wanted), RuntimeUpdate)
        fresh.bring(wanted)
        assert places() == places("127.0.0.2")


def test_source_spreads_clients_evenly(tmp_path: Path) -> None:
    """With the weight that servers on a ring get; with 1 each, as they had before, the busiest had half as many again as the idlest."""
    with pods(4) as of, applying(tmp_path, "127.0.0.1") as haproxy:
        ids = (101_001, 324_002, 543_003, 1_000_004)
        weight = largest_weight(1, 4, on_a_ring=True)

        def spread(each_weight: int) -> float:
            made = [
                structs.replace(each, id=number) for each, number in zip(servers(of, each_weight), ids, strict=True)
            ]
            haproxy.bring(model(*made))
            clients = (f"127.{a}.{b}.{c}" for a in (1, 7) for b in (3, 90) for c in range(1, 251))
            counts = Counter(who(client) for client in clients).values()
            assert len(counts) == 4
            return max(counts) / min(counts)

        assert spread(weight) < 1.3 < spread(1)


def test_first_fills_in_an_order_that_stays(tmp_path: Path) -> None:
    """The order of the ids, not the one in which the pods came."""
    with pods(3) as of, applying(tmp_path, "127.0.0.1") as changed:
        one, two, three = (
            structs.replace(each, id=number) for each, number in zip(servers(of), (300, 100, 200), strict=True)
        )
        changed.bring(model(one, balance="first", server_maxconn=1))
        assert isinstance(changed.bring(model(one, two, three, balance="first", server_maxconn=1)), RuntimeUpdate)
        for _ in range(2):
            with contextlib.ExitStack() as held:
                assert [held.enter_context(connect(PORT)).recv(10) for _ in range(3)] == [b"1", b"2", b"0"]
            wait_for(lambda: all(each.open_connections == 0 for each in of), "the connections to end")
            reload(changed, model(one, two, three, balance="first", server_maxconn=1))


@pytest.mark.parametrize("balance", ["leastconn", "roundrobin"])
def test_each_reload_begins_with_another_pod(tmp_path: Path, balance: str) -> None:
    """Else a pod that stands first in the file would get every first connection; weights are left as they were."""
    with pods(3) as of, applying(tmp_path, "127.0.0.1") as changed:
        wanted = model(*servers(of), balance=balance)
        changed.bring(wanted)
        begun: set[str] = set()
        # HAProxy 2.8 and 3.0 take turns; 3.2 and newer draw lots among those that have equally few, with leastconn.
        for _ in range(30):
            reload(changed, wanted)
            begun.add(who())
            if len(begun) == len(of):
                break
        assert begun == {"0", "1", "2"}
        assert {weight for _, _, _, weight, _, _ in changed.state().servers["be_tcp:team:db"]} == {"1"}


def test_a_weight_that_changes_back_with_a_reload_is_back(tmp_path: Path) -> None:
    """Of a pod that is down, too, whose health goes to the next worker: with the weight it was loaded with."""
    with pods(2) as of, applying(tmp_path, "127.0.0.1") as changed:
        down, up = servers(of, weight=256)
        of[0].stop_listening()
        changed.bring(model(down, up, balance="leastconn", check_interval_ms=20))
        assert isinstance(
            changed.bring(model(structs.replace(down, weight=64), up, balance="leastconn", check_interval_ms=20)),
            RuntimeUpdate,
        )
        wait_for(lambda: ",DOWN," in changed.ask("show stat"), "a failed check")
        with structlog.testing.capture_logs() as lines:
            reload(changed, model(down, up, balance="leastconn", check_interval_ms=20))
        assert {weight for _, _, _, weight, _, _ in changed.state().servers["be_tcp:team:db"]} == {"256"}
        assert not [line for line in lines if line["event"] == "worker set right"], "it was right from the start"


def test_what_a_worker_has_otherwise_is_set_right(tmp_path: Path) -> None:
    """Weights and states that come from elsewhere, here from a state file of an administrator's, are told and undone."""
    global_template = (Path(__file__).parents[3] / "templates" / "global.cfg.j2").read_text()
    foreign, templates = tmp_path / "foreign", tmp_path / "templates"
    templates.mkdir()
    (templates / "global.cfg.j2").write_text(
        global_template.replace("{{ settings.server_state_file | quoted }}", str(foreign))
    )
    foreign.write_text("1\n# be_id\n")
    with pods(2) as of, applying(tmp_path / "state", "127.0.0.1", templates=templates) as changed:
        wanted = model(*servers(of, weight=5), balance="leastconn")
        changed.bring(wanted)
        for each in servers(of):
            changed.ask(f"set server be_tcp:team:db/{each.name} weight 3")
        changed.ask(f"set server be_tcp:team:db/{server(of[0].port).name} state maint")
        foreign.write_text(changed.ask("show servers state"))
        with structlog.testing.capture_logs() as lines:
            reload(changed, wanted)
        (told,) = [line for line in lines if line["event"] == "worker set right"]
        assert told["number"] == 3
        assert any("weight 3, not 5" in each for each in told["deviations"])
        assert any("takes no connections" in each for each in told["deviations"])
        assert {weight for _, _, _, weight, _, _ in changed.state().servers["be_tcp:team:db"]} == {"5"}
        assert {who() for _ in range(4)} == {"0", "1"}


def test_source_leads_on_from_a_busy_pod_where_that_is_asked_for(tmp_path: Path) -> None:
    """With ``source`` alone a client waits for its pod beside an idle one; with a balance factor it is led on before."""
    with pods(2) as of, applying(tmp_path, "127.0.0.1") as haproxy, contextlib.ExitStack() as held:
        strict = section("db", PORT, *servers(of, 64), balance="source", check_interval_ms=0, server_maxconn=4)
        shared_out = section(
            "out", OTHER_PORT, *servers(of, 64), balance="source", check_interval_ms=0, server_maxconn=4
        )
        backend = replace(shared_out.backend, hash_balance_factor=110)
        haproxy.bring(Model((strict, replace(shared_out, backend=backend))))
        (pod,) = {held.enter_context(connect(PORT)).recv(10) for _ in range(4)}
        waiting = held.enter_context(connect(PORT))
        waiting.settimeout(0.5)
        with pytest.raises(TimeoutError):
            waiting.recv(10)
        counts = Counter(held.enter_context(connect(OTHER_PORT)).recv(10) for _ in range(6))
        assert pod in counts
        assert sorted(counts.values()) == [3, 3] or sorted(counts.values()) == [2, 4]
