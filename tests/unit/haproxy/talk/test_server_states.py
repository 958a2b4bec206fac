"""Which servers are down: read from the former worker, and told to the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.errors import UnexpectedReply
from router.haproxy.talk.server_states import NOTHING_DOWN, NewServer, down_servers, state_file
from router.haproxy.talk.worker import WorkerSocket
from tests.support.haproxy_sockets import saying

_HEAD = NOTHING_DOWN.decode()


def _line(
    backend: str,
    server: str,
    address: str = "10.0.0.1",
    port: int = 80,
    *,
    state: int = 2,
    admin: int = 0,
    number: int = 1,
    weights: str = "1 1",
) -> str:
    return f"3 {backend} {number} {server} {address} {state} {admin} {weights} 25 6 3 4 6 0 0 0 - {port} - 0 0 - - 0"


def _ask(tmp_path: Path, *lines: str) -> dict[tuple[str, str], str]:
    path = tmp_path / "s"
    with saying(path, _HEAD + "".join(f"{line}\n" for line in lines) + "\n") as sent:
        found = dict(WorkerSocket(path).down_servers())
    assert sent == ["show servers state\n"]
    return found


def test_servers_that_failed_their_checks_are_found(tmp_path: Path) -> None:
    """Not those that are up or starting, and not those that somebody put into maintenance or drain."""
    dead = _line("be", "dead", state=0)
    found = _ask(
        tmp_path,
        _line("be", "up"),
        dead,
        _line("be", "starting", state=1),
        _line("be", "retired", state=0, admin=1),
        _line("be", "drained", state=0, admin=8),
    )
    assert found == {("be", "dead"): dead}


def test_no_servers(tmp_path: Path) -> None:
    """A HAProxy without servers has none that is down."""
    assert _ask(tmp_path) == {}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("", id="nothing"),
        pytest.param("2\n# be_id\n", id="another version"),
        pytest.param(_HEAD.replace("srv_op_state srv_admin_state", "srv_admin_state srv_op_state"), id="another order"),
    ],
)
def test_other_formats_are_not_guessed(tmp_path: Path, answer: str) -> None:
    """Columns have a meaning only in the format that is known."""
    path = tmp_path / "s"
    with saying(path, answer), pytest.raises(UnexpectedReply):
        down_servers(path, 20.0)


def test_file_for_the_next_worker() -> None:
    """A server goes on in its new backend, with the weight that it is loaded with there; one that the next worker has not, or elsewhere, is left out."""
    down = {
        # By command it had 64, and was loaded with 256.
        ("pool:7001", "a"): _line("pool:7001", "a", state=0, weights="64 256"),
        ("be", "six"): _line("be", "six", "fd00::1", 81, state=0),
        ("be", "gone"): _line("be", "gone", state=0),
    }
    asked = []

    def becomes(backend: str, server: str, address: str) -> NewServer | None:
        asked.append((backend, server, address))
        return {"a": NewServer("be_tcp:team:db", 77, 256), "six": NewServer("be", 0, 1)}.get(server)

    text = state_file(down, becomes).decode()
    assert asked == [("be", "gone", "10.0.0.1:80"), ("be", "six", "[fd00::1]:81"), ("pool:7001", "a", "10.0.0.1:80")]
    assert (
        text
        == _HEAD
        + _line("be", "six", "fd00::1", 81, state=0)
        + "\n"
        + _line("be_tcp:team:db", "a", state=0, number=77, weights="256 256")
        + "\n"
    )


def test_nothing_down_is_a_file_too() -> None:
    """HAProxy complains where there is none."""
    assert state_file({}, lambda *_: None) == NOTHING_DOWN
