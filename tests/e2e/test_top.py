"""``tcp-router top`` of a router that runs."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

from tests.support.clients import connect, echoes
from tests.support.commands import run_process
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer


def test_what_is_used_now(router: RouterProcess, echo: TcpServer) -> None:
    """Connections of each asker, most bytes first; without a terminal one table is printed."""
    port, other = free_port(), free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.write("web.yaml", *app("web", other, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db", "team/web")
    with connect(port) as held:
        assert echoes(held)
        router.wait_for_row("team/db", lambda row: row["sessions"] == 1 and row["bytes_in"], "a session with bytes")
        table = run_process(
            "top", "--address", f"127.0.0.1:{router.http_port}", "--interval", "1s", "--sort", "sessions"
        )
    assert (table.exit_code, table.stderr) == (0, "")
    lines = [line.split() for line in table.stdout.splitlines()]
    assert lines[0] == ["PORT", "ASKER", "CONNECTIONS", "NEW/S", "IN", "OUT"]
    assert lines[1][:3] == [str(port), "team/db", "1"]
    assert lines[2][:3] == [str(other), "team/web", "0"]
    router.stop()
    assert run_process("top", "--address", f"127.0.0.1:{router.http_port}").exit_code == 1


def test_it_lives_in_a_terminal_until_it_is_ended(router: RouterProcess, echo: TcpServer) -> None:
    """The table is drawn again and again, and Ctrl-C ends it in order."""
    port = free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db")
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "router", "top", "--address", f"127.0.0.1:{router.http_port}", "--interval", "1s"],
        stdin=its,
        stdout=its,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )
    os.close(its)
    seen = b""
    try:
        while b"team/db" not in seen:
            seen += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:
                break
        assert process.wait(20) == 0, process.stderr.read() if process.stderr else b""
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        if process.stderr:
            process.stderr.close()
