"""When servers that were retired are deleted: not while a connection may still remember them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from router.haproxy.talk.server_states import DownServers
from router.model import Model
from router.model.bases import Base
from router.plan.commands import Command
from router.plan.leaving import Leaving, ServerName
from router.plan.running import Running, loaded
from router.plan.section_text import ServerLine
from router.reconcile.retired import Retired
from tests.support.models import section

_WAITS_S = 1.5
_NAMES = [("be", "a"), ("be", "b"), ("other", "a")]


class _Worker:
    """A worker with connections, of which some were refused by their server, and remember it for a while."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.connected: set[ServerName] = set()
        self.remembered_until_s: dict[ServerName, float] = {}
        self.refuses: set[ServerName] = set()
        self.asked: list[ServerName] = []
        self.deleted: list[ServerName] = []
        self.left: list[str] = []
        """Backends that it was asked to delete."""
        self.keeps: set[str] = set()

    def fail(self, name: ServerName) -> None:
        """Have the connections to a server refused by it."""
        if name in self.connected:
            self.connected.discard(name)
            self.remembered_until_s[name] = self.now_s + 1

    def idle_servers(self, servers: Iterable[ServerName], drained: Iterable[ServerName]) -> frozenset[ServerName]:
        """Give those without connections; those that wait to be tried anew are none, as in HAProxy."""
        asked = [*servers, *drained]
        self.asked += asked
        return frozenset(asked) - self.connected

    def delete_servers(self, servers: Iterable[ServerName]) -> frozenset[ServerName]:
        """Delete, and see to it that nobody remembers who is deleted."""
        gone = frozenset(servers) - self.refuses
        for name in gone:
            assert self.remembered_until_s.get(name, 0.0) <= self.now_s, f"{name} is remembered"
            assert name not in self.connected
        self.deleted += sorted(gone)
        return gone

    def delete_backends(self, names: Iterable[str]) -> Mapping[str, str]:
        """Delete, but those in which a client is."""
        asked = tuple(names)
        self.left += asked
        return dict.fromkeys(self.keeps & set(asked), "Backend still has attached streams on it.")

    def adds_backends(self) -> bool:
        return True

    def get_ready(self) -> None: ...
    def let_go(self) -> None: ...
    def run(self, commands: Iterable[Command]) -> None: ...
    def down_servers(self) -> DownServers:
        return {}


def _running(names: Iterable[ServerName], *options: str) -> Running:
    line = ServerLine("10.0.0.1:80", 1, 0, options)
    leaving = Leaving(dict.fromkeys(names, line))
    return Running(model=Model(), named={}, pool={}, sni_pool=(), hosts_files={}, owners_file="", leaving=leaving)


def _retired(worker: _Worker) -> Retired:
    return Retired(worker, _WAITS_S, lambda: worker.now_s)


@given(st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from([0.0, 0.4, 1.0]), st.booleans())))
def test_no_server_is_deleted_that_a_connection_remembers(steps: list[tuple[ServerName, float, bool]]) -> None:
    """Whenever connections are refused, and whenever is looked; in the end all are gone."""
    worker = _Worker()
    retired, running = _retired(worker), _running(_NAMES)
    worker.connected = set(_NAMES)
    for name, pause_s, looks in steps:
        worker.fail(name)
        worker.now_s += pause_s
        if looks:
            running = retired.delete(running)
    for name in _NAMES:
        worker.fail(name)
    for _ in range(3):
        running = retired.delete(running)
        worker.now_s += _WAITS_S
    assert not running.leaving
    assert sorted(worker.deleted) == sorted(_NAMES)


@pytest.mark.parametrize(
    "revive",
    [
        pytest.param(lambda retired: retired.keep(Leaving()), id="of all that leave"),
        pytest.param(lambda retired: retired.forget([_NAMES[0]]), id="named"),
    ],
)
def test_a_server_that_was_revived_and_retired_again_is_a_new_one(revive: Callable[[Retired], None]) -> None:
    """Meanwhile it may have had connections."""
    worker, first = _Worker(), _NAMES[0]
    retired, running = _retired(worker), _running([first])
    retired.delete(running)
    revive(retired)
    worker.now_s += _WAITS_S
    worker.remembered_until_s[first] = worker.now_s + 1
    again = retired.delete(running)
    assert again.leaving
    worker.now_s += _WAITS_S
    assert not retired.delete(again).leaving


def test_one_that_cannot_be_deleted_is_looked_at_anew() -> None:
    """A template may refer to it; it is not asked about while it waits."""
    worker, first = _Worker(), _NAMES[0]
    worker.refuses = {first}
    retired, running = _retired(worker), _running(_NAMES, "on-marked-down")
    for _ in range(4):
        running = retired.delete(running)
        worker.now_s += _WAITS_S
    assert set(running.leaving) == {first}
    assert worker.asked.count(first) == 2
    assert [worker.asked.count(name) for name in _NAMES[1:]] == [1, 1]


def test_busy_ones_keep_nobody_from_their_turn() -> None:
    """A look asks about two hundred, and the next one goes on behind them."""
    worker = _Worker()
    names = [("be", f"{number:03}") for number in range(500)]
    worker.connected = set(names[:400])
    retired, running = _retired(worker), _running(names)
    for _ in range(4):
        running = retired.delete(running)
        worker.now_s += _WAITS_S
    assert set(worker.asked) == set(names)
    assert sorted(worker.deleted) == names[400:]


def test_a_change_waits_for_a_piece_alone() -> None:
    """HAProxy takes a millisecond for each backend where it has thousands; what is left comes next, and all of it in the end."""
    worker = _Worker()
    names = [(f"be-{number:03}", server) for number in range(60) for server in ("a", "b")]
    retired, running = _retired(worker), _running(names)
    for _ in range(30):
        asked = len(worker.asked)
        running = retired.delete(running, lambda: True)
        assert len({backend for backend, _ in worker.asked[asked:]}) <= 2
    assert worker.asked == names
    assert retired.is_through
    worker.now_s += _WAITS_S
    running = retired.delete(running, lambda: True)
    assert len(worker.deleted) == 10
    assert not retired.is_through
    running = retired.delete(running)
    assert not running.leaving
    assert retired.is_through


def test_very_many_are_looked_at_whatever_comes() -> None:
    """Endpoints that change as fast as HAProxy can be asked would leave more and more servers behind."""
    worker = _Worker()
    names = [(f"be-{number:03}", "a") for number in range(500)]
    _retired(worker).delete(_running(names), lambda: True)
    assert len(worker.asked) == 200


def test_a_section_is_deleted_when_it_has_no_servers_left() -> None:
    """Not before; one that HAProxy keeps is not asked for again at once, but after it has served somebody."""
    worker = _Worker()
    worker.connected, worker.keeps = {("be", "a")}, {"kept"}
    retired = _retired(worker)
    of_port = section("web", 6620)
    sni = {
        name: replace(of_port, backend=replace(of_port.backend, name=name), frontend=None) for name in ("be", "kept")
    }
    running = replace(
        loaded(Model((*sni.values(), of_port)), {}, ""),
        bases={Base("source", None, 1, 1, 1, tcp_keepalive=True): "some"},
        added={"new": replace(of_port, frontend=None)},
        closed=frozenset({"be", "kept", "new"}),
        left=frozenset({"be", "kept", "new"}),
        leaving=Leaving({("be", "a"): ServerLine("10.0.0.1:80", 1, 0, ())}),
    )
    running = retired.delete(running)
    assert worker.left == ["kept", "new"]
    assert (running.left, running.closed) == (frozenset({"be", "kept"}), frozenset({"be", "kept"}))
    assert not running.added
    running = retired.delete(running)
    assert worker.left == ["kept", "new"]
    worker.connected = set()
    for _ in range(2):
        worker.now_s += _WAITS_S
        running = retired.delete(running)
    assert worker.deleted == [("be", "a")]
    assert worker.left == ["kept", "new", "be", "kept"]
    assert (running.left, running.deleted) == (frozenset({"kept"}), frozenset({"be"}))
    assert running.own("be") is None
    # It served somebody meanwhile, and is left once more.
    retired.delete(replace(running, left=frozenset()))
    retired.delete(running)
    assert worker.left[-1] == "kept"


def test_a_section_that_is_refused_is_tried_again() -> None:
    """After pauses that grow, and told once: HAProxy deletes none in which a client is."""
    worker = _Worker()
    worker.keeps = {"held"}
    retired = _retired(worker)
    running = replace(
        loaded(Model(), {}, ""),
        added={"held": replace(section("web", 6620), frontend=None)},
        closed=frozenset({"held"}),
        left=frozenset({"held"}),
    )
    with capture_logs() as logs:
        asked_s = []
        for _ in range(600):
            known = len(worker.left)
            running = retired.delete(running)
            asked_s += [worker.now_s] if len(worker.left) > known else []
            worker.now_s += 1
        pauses = [after - before for before, after in itertools.pairwise(asked_s)]
        assert pauses[:5] == [2, 4, 8, 16, 32]
        assert set(pauses[5:]) == {60}
        assert running.left == {"held"}
        worker.keeps = set()
        worker.now_s += 60
        running = retired.delete(running)
    assert (running.left, dict(running.added)) == (frozenset(), {})
    assert [each["problems"] for each in logs] == [["held: Backend still has attached streams on it."]]
