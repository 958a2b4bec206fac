"""What the master's and the worker's answers are read as, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from router.errors import UnexpectedReply
from router.haproxy.talk import master, stats
from router.haproxy.talk.alerts import BindFailure
from router.haproxy.talk.master import Processes, ReloadResult
from router.haproxy.talk.sessions import SessionCounts
from router.haproxy.talk.stats import BackendNow
from tests.support.haproxy_sockets import saying

_TAKEN = (
    "[ALERT]    (7) : Binding [c.cfg:15] for frontend fe_tcp:17002: cannot bind socket (Address already in use) for"
    " [127.0.0.1:17002]"
)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            "Success=1\n--\n[NOTICE]   (7) : Loading success.\n\n",
            ReloadResult(success=True, log="[NOTICE]   (7) : Loading success.", bind_failures=()),
            id="success",
        ),
        pytest.param(
            f"Success=0\n--\n{_TAKEN}\n\n",
            ReloadResult(
                success=False,
                log=_TAKEN,
                bind_failures=(
                    BindFailure("fe_tcp:17002", "127.0.0.1:17002", "cannot bind socket (Address already in use)"),
                ),
            ),
            id="failure",
        ),
        pytest.param("Success=1\n", ReloadResult(success=True, log="", bind_failures=()), id="no log"),
    ],
)
def test_a_reload_is_read(tmp_path: Path, answer: str, expected: ReloadResult) -> None:
    """Both outcomes of a reload are results, with HAProxy's log."""
    with saying(tmp_path / "s", answer) as commands:
        assert master.reload(tmp_path / "s", 10) == expected
    assert commands == ["reload\n"]


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(master.reload, id="reload"),
        pytest.param(master.processes, id="show proc"),
        pytest.param(stats.info, id="show info"),
        pytest.param(stats.servers, id="show servers state"),
        pytest.param(stats.frontends, id="show stat"),
        pytest.param(stats.backends, id="show stat for backends"),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("", id="nothing"),
        pytest.param("Permission denied\n", id="refused"),
        pytest.param("Unknown command: 'x', but maybe one of the following ones is a better match:\n", id="unknown"),
    ],
)
def test_any_other_answer_is_unexpected(tmp_path: Path, ask: Callable[[Path, float], object], answer: str) -> None:
    """What is not the answer of a command that worked is never read as an empty result."""
    with saying(tmp_path / "s", answer), pytest.raises(UnexpectedReply, match="answered"):
        ask(tmp_path / "s", 10)


def test_processes_are_read(tmp_path: Path) -> None:
    """Master, worker and old workers are told apart by the headings, also after reloads that failed."""
    answer = (
        "#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
        "10885           master          3 [failed: 1]   0d00h00m00s     3.0.11-1+deb13u5\n"
        "# workers\n"
        "10900           worker          1               0d00h00m00s     3.0.11-1+deb13u5\n"
        "# old workers\n"
        "10891           worker          2               0d00h00m00s     3.0.11-1+deb13u5\n"
        "10880           worker          3               0d00h00m00s     3.0.11-1+deb13u5\n"
        "# programs\n"
        "10700           mailer          1               0d00h00m00s     -\n\n"
    )
    with saying(tmp_path / "s", answer):
        assert master.processes(tmp_path / "s", 10) == Processes(10885, 10900, (10891, 10880), "3.0.11-1+deb13u5")


def test_a_worker_that_goes_on_after_failed_loads_is_no_old_one(tmp_path: Path) -> None:
    """HAProxy 3.1 and newer list it among the old ones, with as many reloads as have failed since it was loaded."""
    answer = (
        "#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
        "15908           master          4 [failed: 2]   0d00h00m02s     3.4.7-1        \n"
        "# workers\n"
        "# old workers\n"
        "15912           worker          4               0d00h00m02s     3.4.7-1        \n"
        "15950           worker          2               0d00h00m02s     3.4.7-1        \n\n"
    )
    with saying(tmp_path / "s", answer):
        assert master.processes(tmp_path / "s", 10) == Processes(15908, 15950, (15912,), "3.4.7-1")


def test_no_worker_is_none(tmp_path: Path) -> None:
    """A master whose first worker is not there yet has none."""
    with saying(tmp_path / "s", "#<PID> ...\n7  master  0 [failed: 0]  0d00h00m00s  2.8.25\n# workers\n# programs\n\n"):
        assert master.processes(tmp_path / "s", 10).worker is None


def test_paused_and_stopped_frontends_do_not_count(tmp_path: Path) -> None:
    """Only frontends that listen are served."""
    columns = "qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act"
    answer = f"# pxname,svname,{columns}\n" + "".join(
        f"{name},FRONTEND,,,1,2,30{',' * 11}{status},,,\n"
        for name, status in [("a", "OPEN"), ("b", "STOP"), ("c", "PAUSED")]
    )
    with saying(tmp_path / "s", answer):
        assert stats.frontends(tmp_path / "s", 10) == {"a": 30}


_BACKEND_COLUMNS = "# pxname,svname,qcur,scur,stot,bin,bout,status,act,ttime\n"


def _backend_row(name: str, sessions: str, active: str) -> str:
    """Give a row of ``show stat`` with some of its columns."""
    return f"{name},BACKEND,0,{sessions},7,11,13,UP,{active},9,\n"


def test_sessions_and_servers_are_read(tmp_path: Path) -> None:
    """They are in the columns scur and act, and what a backend has had in stot, bin and bout."""
    answer = _BACKEND_COLUMNS + _backend_row("be_tcp:a:b", "3", "2") + _backend_row("be_tcp:a:c", "0", "0") + "\n"
    with saying(tmp_path / "s", answer) as commands:
        assert stats.backends(tmp_path / "s", 10) == {
            "be_tcp:a:b": BackendNow(3, 2, 7, 11, 13),
            "be_tcp:a:c": BackendNow(0, 0, 7, 11, 13),
        }
    assert commands == ["show stat -1 2 -1\n"]


@pytest.mark.parametrize(
    "row",
    ["be_tcp:a:b,BACKEND,0,0", _backend_row("b", "", "1"), _backend_row("b", "x", "1"), _backend_row("b", "1", "")],
)
def test_rows_without_sessions_are_unexpected(tmp_path: Path, row: str) -> None:
    """What has no number of sessions is not taken for none."""
    with saying(tmp_path / "s", f"{_BACKEND_COLUMNS}{row}\n"), pytest.raises(UnexpectedReply):
        stats.backends(tmp_path / "s", 10)


def test_sessions_are_asked_once_a_second(tmp_path: Path) -> None:
    """However many want to know, HAProxy is asked once a second; while it does not answer nothing is known."""
    now_s = 100.0
    counts = SessionCounts(tmp_path / "s", clock=lambda: now_s)
    assert counts.current() is None
    now_s += 1
    with saying(tmp_path / "s", _BACKEND_COLUMNS + _backend_row("b", "3", "1")) as commands:
        assert [counts.current() for _ in range(3)] == [{"b": BackendNow(3, 1, 7, 11, 13)}] * 3
        assert len(commands) == 1
        now_s += 0.9
        counts.current()
        assert len(commands) == 1
        now_s += 0.1
        counts.current()
        assert len(commands) == 2
    now_s += 1
    assert counts.current() is None
