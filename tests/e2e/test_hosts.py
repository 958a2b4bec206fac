"""The router on hosts that differ: without IPv6, started by nohup, with a state directory that somebody else made first."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Make
from tests.support.clients import connect, ended
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.probing import exchange
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

_WITHOUT_IPV6 = Path(__file__).parents[1] / "support" / "without_ipv6.py"
_SOMEBODY = 65534


class Everywhere(RouterProcess):
    """Listens on all addresses, its HTTP port too, as by default in a pod."""

    def command(self) -> list[str]:
        """Give the command line."""
        command = super().command()
        place = command.index("--bind-address")
        del command[place : place + 2]
        return [each.replace("127.0.0.1:0", f"[::]:{self.http_port}") for each in command]

    def launch(self) -> None:
        """Start it on an HTTP port that is known before."""
        self.http_port = free_port()
        with (self.directory / "log").open("ab") as log, (self.directory / "traffic").open("ab") as traffic:
            self.process = subprocess.Popen(self.command(), stderr=log, stdout=traffic, stdin=subprocess.DEVNULL)


def test_without_ipv6_in_the_kernel_both_versions_are_ipv4(make_router: Make, echo: TcpServer) -> None:
    """Ports, the health port and HTTP listen on IPv4 where there is no other; nothing is set aside, and the log says so once."""
    port, health = free_port(), free_port()
    launcher = (sys.executable, str(_WITHOUT_IPV6))
    everywhere = make_router("--tcp-health-port", str(health), launcher=launcher, kind=Everywhere)
    everywhere.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    everywhere.start()
    everywhere.wait_admitted("team/db")
    assert exchange(port) == b"ping"

    def accepts_and_closes() -> bool:
        with connect(health) as connection:
            return ended(connection)

    wait_for(accepts_and_closes, "the health port to accept and close")
    binds = re.findall(rf"^ *bind (\S+):{port}\b", (everywhere.state / "haproxy.cfg").read_text(), re.MULTILINE)
    assert binds == ["ipv4@*"]
    assert everywhere.events("port set aside") == []
    assert len(everywhere.events("no ipv6 on this host")) == 1


def test_nohup_keeps_a_router_through_a_hang_up(make_router: Make, echo: TcpServer) -> None:
    """Where SIGHUP was ignored at the start, the loss of the terminal ends nothing."""
    port, added = free_port(), free_port()
    router = make_router(launcher=("nohup",))
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.start()
    os.kill(router.pid, signal.SIGHUP)
    os.kill(router.pid, signal.SIGHUP)
    router.write("more.yaml", *app("more", added, ("127.0.0.1", echo.port)))
    router.wait_admitted("team/db", "team/more")
    assert exchange(added) == b"ping"
    assert router.events("stopping") == []
    assert router.stop() == 0


def test_a_hang_up_stops_a_router_otherwise(make_router: Make) -> None:
    """Started from a terminal and without nohup, the router ends in order when that is lost."""
    router = make_router()
    router.start()
    assert router.stop(signal.SIGHUP) == 0
    assert router.events("stopping")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
@pytest.mark.parametrize("command", ["run", "haproxy"])
def test_a_state_directory_of_another_user_is_refused(tmp_path: Path, command: str) -> None:
    """Neither command uses what somebody else made first; the error names it, its owner, and what would be right."""
    state = tmp_path / "state"
    state.mkdir()
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    os.chown(state, _SOMEBODY, _SOMEBODY)
    options = ["--manifests", str(manifests), "--listen", "127.0.0.1:0"] if command == "run" else []
    refused = subprocess.run(
        [sys.executable, "-m", "router", command, "--state-dir", str(state), *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert re.search(rf"{re.escape(str(state))} belongs to user \w+ \({_SOMEBODY}\)", refused.stderr), refused.stderr
    assert "It has to be of user root (0) or root" in refused.stderr
    assert list(state.iterdir()) == []
