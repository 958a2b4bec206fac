"""What every ``Control`` does alike, whoever starts HAProxy: judge configurations, ask the newest worker."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from router.errors import HaproxyError
from router.haproxy.control import Serving
from router.haproxy.generations import NOBODY, Others, kernel
from router.haproxy.generations.neighbours import only_own
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.process.check import CheckResult, check_config
from router.haproxy.process.ports import Obstacle, PortProblem, by_ip, less_shared, probe
from router.haproxy.talk import listeners, stats
from router.haproxy.talk.master import ReloadResult
from router.model import Bind, frontend_name
from router.settings import RenderSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long HAProxy may take; seconds. Generous: 10,000 ports take about one."""

    check_s: float = 60.0
    load_s: float = 60.0
    command_s: float = 10.0
    drain_s: float = 30.0
    """How long connections may go on after a soft stop."""


class NewestWorker:
    """The part of a ``Control`` that needs no process of its own.

    Args:
        binary: the HAProxy that judges configurations.
        settings: where HAProxy's sockets are and which addresses it binds.
        deadlines: how long things may take.
        others: the generations of this router beside which ports may be bound.
    """

    def __init__(
        self, binary: HaproxyBinary, settings: RenderSettings, deadlines: Deadlines, others: Others = NOBODY
    ) -> None:
        self._binary = binary
        self._settings = settings
        self._deadlines = deadlines
        self._others = others

    runs_kept = False

    def keep(self) -> ReloadResult:
        """Take what runs for what was loaded."""
        self.runs_kept = False
        return ReloadResult(success=True, log="", bind_failures=())

    def check(self, config: Path) -> CheckResult:
        """Let ``haproxy -c`` judge a configuration."""
        return check_config(self._binary, config, self._deadlines.check_s)

    def taken(self, wanted: Iterable[Bind]) -> Mapping[Bind, str]:
        """Say which of these ports cannot be bound, and why, without disturbing any."""
        found: dict[Bind, str] = {}
        for ip, ports, hosts in by_ip(wanted, self._settings.bind_addresses):
            problems = self._in_the_way(ip, probe(ports, self._settings.ip_mode, hosts))
            problems = self._beside_own(problems, hosts)
            problems = less_shared(problems, self._others, self._settings.ip_mode, hosts)
            found.update((Bind(port, ip), problem.text) for port, problem in problems.items())
        return found

    def _in_the_way(self, ip: str, problems: Mapping[int, PortProblem]) -> Mapping[int, PortProblem]:  # noqa: ARG002 - for those who know more
        """Leave out what a HAProxy of ours can do all the same."""
        return problems

    def _not_own(self, problems: Mapping[int, PortProblem], ip: str) -> Mapping[int, PortProblem]:
        """Leave out the ports on which HAProxy listens already.

        Raises:
            HaproxyError: HAProxy cannot be asked for its ports.
        """
        if not problems:
            return problems
        own = stats.frontends(self._settings.stats_socket, self._deadlines.command_s)
        address = next((name for name, ips in self._settings.addresses.items() if ip in ips), "")
        # A frontend may be there without its port, which somebody else had when HAProxy was started.
        listening = self._listening_ports(problems)
        return {
            port: each
            for port, each in problems.items()
            if frontend_name(port, address) not in own or port not in listening
        }

    def _listening_ports(self, otherwise: Collection[int]) -> Collection[int]:
        """Give the ports of its sockets; where it hands out none, those that are named."""
        try:
            return {port for port, _ in self.listening()}
        except (OSError, HaproxyError):
            return otherwise

    def _beside_own(self, problems: Mapping[int, PortProblem], hosts: Collection[str]) -> Mapping[int, PortProblem]:
        """Leave out the ports that our HAProxy has on other addresses alone, as far as these are named ones."""
        in_use = [port for port, each in problems.items() if each.obstacle is Obstacle.IN_USE]
        if not in_use or not self._settings.addresses:
            return problems
        try:
            own = only_own(in_use, hosts or kernel.WILDCARDS, self.listening())
        except (OSError, HaproxyError):
            # It is not there, or has nothing to hand out.
            return problems
        return {port: each for port, each in problems.items() if port not in own}

    @property
    def may_become_free(self) -> bool:
        """Whether ports that are taken may be free in a moment: another generation of this router is about to end."""
        return self._others.are_there

    def listening(self) -> tuple[tuple[int, int], ...]:
        """Give port and inode of each socket on which the newest worker listens; any thread."""
        return listeners.listening(self._settings.stats_socket, self._deadlines.command_s)

    def serving(self) -> Serving:
        """Ask the newest worker what it serves."""
        socket, deadline_s = self._settings.stats_socket, self._deadlines.command_s
        return Serving(stats.frontends(socket, deadline_s), stats.servers(socket, deadline_s))

    def server_limits(self, backends: Collection[str]) -> Mapping[tuple[str, str], int]:
        """Ask the newest worker for the limits of the servers of some backends."""
        return stats.server_limits(self._settings.stats_socket, backends, self._deadlines.command_s)
