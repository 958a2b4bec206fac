"""Commands to a worker: batches, the reply to each of them, and what is taken for a fault."""

from __future__ import annotations

import queue
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from router.errors import HaproxyUnreachable, UnexpectedReply
from router.haproxy.talk import runtime
from router.haproxy.talk.runtime import delete_servers, idle_servers, split_replies
from router.haproxy.talk.worker import WorkerSocket
from router.plan.commands import Answer, Command
from tests.support.haproxy_sockets import answering, read_command, saying

_TIMEOUT_S = 20.0


@pytest.mark.parametrize(
    ("answer", "replies"),
    [
        pytest.param("", [], id="none"),
        pytest.param("\n", [""], id="silence"),
        pytest.param("\n\n\n", ["", "", ""], id="silence of three"),
        pytest.param("New server registered.\n\n\n", ["New server registered.", ""], id="a line, and silence"),
        pytest.param("a\nb\n\nc\n\n", ["a\nb", "c"], id="two lines, and one"),
    ],
)
def test_replies_are_told_from_each_other(answer: str, replies: list[str]) -> None:
    """Each reply ends with an empty line."""
    assert split_replies(answer) == replies


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        pytest.param(Answer.SILENCE, "", id="silence"),
        pytest.param(Answer.SERVER_ADDED, "New server registered.\n", id="server added"),
        pytest.param(
            Answer.ADDRESS_SET,
            "IP changed from '10.0.0.1' to '10.0.0.2', port changed from '80' to '81' by 'stats socket command'\n",
            id="address and port set",
        ),
        pytest.param(
            Answer.ADDRESS_SET,
            "no need to change the addr, port changed from '80' to '81' by 'stats socket command'\n",
            id="port set",
        ),
        pytest.param(
            Answer.ADDRESS_SET, "no need to change the addr, no need to change the port\n", id="address as it was"
        ),
        pytest.param(Answer.ADDRESS_SET, "nothing changed\n", id="nothing changed"),
        pytest.param(Answer.FRONTEND_CLOSED, "", id="frontend closed"),
        pytest.param(Answer.FRONTEND_CLOSED, "All sockets are already disabled.\n", id="frontend closed before"),
        pytest.param(Answer.FRONTEND_OPEN, "", id="frontend open"),
        pytest.param(Answer.FRONTEND_OPEN, "All sockets are already enabled.\n", id="frontend open before"),
    ],
)
def test_reply_of_a_command_that_worked(tmp_path: Path, answer: Answer, reply: str) -> None:
    """Each form that 2.8 and 3.0 have is taken, in a batch with others."""
    path = tmp_path / "s"
    with saying(path, f"\n{reply}\n\n") as sent:
        runtime.run(path, [Command("first"), Command("asked", answer), Command("last")], _TIMEOUT_S)
    assert sent == ["first;asked;last\n"]


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        pytest.param(Answer.SILENCE, "No such server.\n", id="no such server"),
        pytest.param(Answer.SILENCE, "New server registered.\n", id="the answer to something else"),
        pytest.param(Answer.SERVER_ADDED, "", id="silence instead of an answer"),
        pytest.param(
            Answer.SERVER_ADDED, "Already exists a server with the same name in backend.\n", id="there already"
        ),
        pytest.param(Answer.SERVER_ADDED, "New server registered.\nbut\n", id="more than the answer"),
        pytest.param(Answer.ADDRESS_SET, "Invalid addr family for the server.\n", id="no address"),
        pytest.param(
            Answer.FRONTEND_OPEN,
            "Failed to resume frontend, check logs for precise cause (port conflict?).\n",
            id="port",
        ),
        pytest.param(Answer.FRONTEND_OPEN, "All sockets are already disabled.\n", id="the other state"),
        pytest.param(Answer.FRONTEND_CLOSED, "No such frontend.\n", id="no such frontend"),
        pytest.param(
            Answer.FRONTEND_CLOSED, "Frontend was previously shut down, cannot disable.\n", id="shut down by somebody"
        ),
        pytest.param(
            Answer.SILENCE,
            "Unknown command: 'asked', but maybe one of the following ones is a better match:\n  help\n",
            id="unknown",
        ),
        pytest.param(Answer.SILENCE, "Permission denied\n", id="no right"),
    ],
)
def test_any_other_reply_is_a_fault(tmp_path: Path, answer: Answer, reply: str) -> None:
    """It is told which command it was the reply to."""
    path = tmp_path / "s"
    with saying(path, f"\n{reply}\n\n"), pytest.raises(UnexpectedReply, match="'asked'") as raised:
        runtime.run(path, [Command("first"), Command("asked", answer), Command("last")], _TIMEOUT_S)
    assert reply.split("\n", maxsplit=1)[0][:20] in str(raised.value)


def test_a_worker_that_was_just_replaced_is_passed_over(tmp_path: Path) -> None:
    """It may have taken the connection before it stopped to listen: the commands are for the one that came after it."""
    path, sent = tmp_path / "s", []
    answers = iter(["Frontend was previously shut down, cannot disable.\n\n\n", "\n\n"])

    def handle(connection: socket.socket) -> None:
        sent.append(read_command(connection))
        connection.sendall(next(answers).encode())

    with answering(path, handle):
        runtime.run(path, [Command("disable frontend f", Answer.FRONTEND_CLOSED), Command("last")], _TIMEOUT_S)
    assert sent == ["disable frontend f;last\n"] * 2


@pytest.mark.parametrize("answer", ["", "\n", "\n\n\n", "a"], ids=["none", "too few", "too many", "cut"])
def test_wrong_number_of_replies_is_a_fault(tmp_path: Path, answer: str) -> None:
    """As many replies as commands, or nothing is believed."""
    path = tmp_path / "s"
    with saying(path, answer), pytest.raises(UnexpectedReply, match="to 2 commands from 'first'"):
        runtime.run(path, [Command("first"), Command("second")], _TIMEOUT_S)


def _silent_worker(sent: list[str]) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        line = read_command(connection)
        sent.append(line)
        connection.sendall(b"\n" * len(line.split(";")))

    return handle


def test_batches_stay_under_the_longest_line(tmp_path: Path) -> None:
    """Many commands go in few lines, each short enough for HAProxy, in order, none lost and none twice."""
    path, sent = tmp_path / "s", list[str]()
    commands = [Command(f"command {number:04} {'x' * 80}") for number in range(1000)]
    with answering(path, _silent_worker(sent)):
        runtime.run(path, commands, _TIMEOUT_S)
    assert [text for line in sent for text in line.rstrip("\n").split(";")] == [each.text for each in commands]
    assert max(len(line) for line in sent) <= 12_000 + 1
    assert len(sent) < 10


def test_command_as_long_as_a_line_goes_alone(tmp_path: Path) -> None:
    """It does not stop the others."""
    path, sent = tmp_path / "s", list[str]()
    with answering(path, _silent_worker(sent)):
        runtime.run(path, [Command("a"), Command("b" * 12_500), Command("c")], _TIMEOUT_S)
    assert [len(line) for line in sent] == [2, 12_501, 2]


def test_fault_ends_the_batches(tmp_path: Path) -> None:
    """What comes after a fault in later batches is not sent."""
    path, sent = tmp_path / "s", list[str]()

    def handle(connection: socket.socket) -> None:
        sent.append(read_command(connection))
        connection.sendall(b"no\n\n" * len(sent[-1].split(";")))

    with answering(path, handle), pytest.raises(UnexpectedReply):
        runtime.run(path, [Command("x" * 7_000), Command("y" * 7_000)], _TIMEOUT_S)
    assert len(sent) == 1


def test_no_commands_are_not_sent(tmp_path: Path) -> None:
    """Without commands nobody is asked, so nobody need be there."""
    runtime.run(tmp_path / "nobody", [], _TIMEOUT_S)


def test_worker_that_is_gone_is_told(tmp_path: Path) -> None:
    """Nobody at the socket is no reply."""
    with pytest.raises(HaproxyUnreachable):
        WorkerSocket(tmp_path / "nobody").run([Command("first")])


def test_a_worker_that_was_made_ready_is_not_connected_to_again(tmp_path: Path) -> None:
    """HAProxy has the connection before it has a command; each serves once, and one that was not used is closed."""
    path = tmp_path / "sock"
    came: queue.SimpleQueue[str] = queue.SimpleQueue()

    def handle(connection: socket.socket) -> None:
        came.put("connection")
        came.put(read_command(connection))
        connection.sendall(b"\n")

    worker = WorkerSocket(path)
    with answering(path, handle):
        worker.get_ready()
        assert came.get(timeout=_TIMEOUT_S) == "connection"
        worker.run([Command("first")])
        worker.run([Command("second")])
        assert [came.get(timeout=_TIMEOUT_S) for _ in range(3)] == ["first\n", "connection", "second\n"]
        worker.get_ready()
        worker.let_go()
        assert [came.get(timeout=_TIMEOUT_S) for _ in range(2)] == ["connection", ""]
        worker.run([Command("third")])
        assert [came.get(timeout=_TIMEOUT_S) for _ in range(2)] == ["connection", "third\n"]


def test_nobody_to_be_made_ready_is_told_by_who_runs_commands(tmp_path: Path) -> None:
    """Perhaps there will be none to run."""
    worker = WorkerSocket(tmp_path / "nobody")
    worker.get_ready()
    worker.let_go()
    worker.get_ready()
    with pytest.raises(HaproxyUnreachable):
        worker.run([Command("first")])


_STAT = (
    "# pxname,svname,qcur,qmax,scur,smax\n"
    "be,FRONTEND,,,9,9\n"
    "be,busy,0,0,2,3\n"
    "be,idle,0,0,0,3\n"
    "\n"
)  # fmt: skip


def _deleting(replies: dict[str, str], sent: list[str]) -> Callable[[socket.socket], None]:
    """Play a worker: ``replies`` by the text of the command, else silence."""

    def handle(connection: socket.socket) -> None:
        line = read_command(connection).rstrip("\n")
        sent.append(line)
        if line.startswith("show stat"):
            connection.sendall(
                "".join(_STAT.replace("be,", f"{each.split()[2]},") for each in line.split(";")).encode()
            )
        else:
            connection.sendall("".join(f"{replies.get(each, '')}\n" for each in line.split(";")).encode())

    return handle


def test_deleting_servers(tmp_path: Path) -> None:
    """Those that are gone are told from those that have connections left, or that a template refers to; none is a fault."""
    path, sent = tmp_path / "s", list[str]()
    replies = {
        "del server be/a": "Server deleted.\n",
        "del server be/b": "No such server.\n",
        "del server be/c": "Server still has connections attached to it, cannot remove it.\n",
        "del server be/d": "Only servers in maintenance mode can be deleted.\n",
        "del server be/e": "This server cannot be removed at runtime due to other configuration elements pointing to it.\n",
    }
    names = [("be", name) for name in "abcde"]
    with answering(path, _deleting(replies, sent)):
        assert WorkerSocket(path).delete_servers(names) == {("be", "a"), ("be", "b")}
    assert sent == [";".join(replies)]


def test_idle_servers_of_many_backends_are_asked_for_at_once(tmp_path: Path) -> None:
    """Those in maintenance are left there, also such as HAProxy does not have."""
    path, sent = tmp_path / "s", list[str]()
    names = [(f"be-{n}", name) for n in range(3) for name in ("busy", "idle", "gone")]
    with answering(path, _deleting({}, sent)):
        assert WorkerSocket(path).idle_servers(names, ()) == {name for name in names if name[1] != "busy"}
    assert sent == [";".join(f"show stat be-{n} 4 -1" for n in range(3))]


def test_idle_servers_of_very_many_backends_are_found_in_those_of_all(tmp_path: Path) -> None:
    """HAProxy looks through all backends for each that is named."""
    path, sent = tmp_path / "s", list[str]()
    names = [(f"be-{n}", "busy") for n in range(101)]
    with answering(path, _deleting({}, sent)):
        assert idle_servers(path, names, (), _TIMEOUT_S) == set(names)
    assert sent == ["show stat -1 4 -1"]


def test_drained_servers_go_into_maintenance_when_idle(tmp_path: Path) -> None:
    """Maintenance would cut their connections: those that have some are left as they are."""
    path, sent = tmp_path / "s", list[str]()
    with answering(path, _deleting({}, sent)):
        idle = idle_servers(path, (), [("be", "busy"), ("be", "idle")], _TIMEOUT_S)
    assert idle == {("be", "idle")}
    assert [line for line in sent if "maint" in line] == ["set server be/idle state maint"]
    assert all("busy" not in line for line in sent)


def test_odd_reply_to_a_deletion_is_a_fault(tmp_path: Path) -> None:
    """Neither deleted nor still there."""
    path = tmp_path / "s"
    with saying(path, "Permission denied\n\n"), pytest.raises(UnexpectedReply, match="del server be/a"):
        delete_servers(path, [("be", "a")], _TIMEOUT_S)
