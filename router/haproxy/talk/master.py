"""Talk to HAProxy's master process: reload, and its list of processes (management guide, section 9.5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from router.errors import UnexpectedReply
from router.haproxy.talk.alerts import BindFailure, bind_failures
from router.haproxy.talk.cli_socket import command


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """Whether a new worker took over; if not, the former one goes on. ``log`` is what HAProxy said meanwhile."""

    success: bool
    log: str
    bind_failures: tuple[BindFailure, ...]


@dataclass(frozen=True, slots=True)
class Processes:
    """Process ids as the master sees them. Old workers were replaced and live on until their last connection ends."""

    master: int
    worker: int | None
    """The one that accepts connections; None while there is none."""
    old_workers: tuple[int, ...]
    version: str


def reload(master_socket: Path, timeout_s: float) -> ReloadResult:
    """Load the configuration file anew in a new worker, and wait for the outcome.

    A port that is taken makes HAProxy try for two seconds, in which every listener of the running worker is paused: probe
    new ports first (``router.haproxy.process.ports``).

    Raises:
        HaproxyUnreachable: the master does not answer within ``timeout_s`` seconds; the reload may have happened.
        UnexpectedReply: the answer is neither success nor failure, from an HAProxy before 2.7, for example.
    """
    answer = command(master_socket, "reload", timeout_s)
    outcome, _, rest = answer.partition("\n")
    if outcome not in {"Success=1", "Success=0"}:
        raise UnexpectedReply(f"HAProxy's master answered 'reload' by {answer[:200]!r}")
    log = rest.removeprefix("--\n").strip("\n")
    return ReloadResult(outcome == "Success=1", log, bind_failures(log))


def processes(master_socket: Path, timeout_s: float) -> Processes:
    """Ask the master for itself and its workers (``show proc``).

    Raises:
        HaproxyUnreachable: the master does not answer within ``timeout_s`` seconds.
        UnexpectedReply: the answer names no master.
    """
    answer = command(master_socket, "show proc", timeout_s)
    master, version, worker, failed = None, "", None, "0"
    old_workers: dict[int, str] = {}
    among_old = False
    for line in answer.splitlines():
        if line.startswith("#"):
            among_old = line.startswith("# old workers")
            continue
        # <PID> <type> <reloads> [failed: n] <uptime> <version>
        match line.split():
            case [pid, "master", *words, build]:
                master, version = int(pid), build
                failed = words[words.index("[failed:") + 1].rstrip("]") if "[failed:" in words else "0"
            case [pid, "worker", reloads, *_] if among_old:
                old_workers[int(pid)] = reloads
            case [pid, "worker", *_]:
                worker = int(pid)
    if master is None:
        raise UnexpectedReply(f"HAProxy's master answered 'show proc' by {answer[:200]!r}")
    if worker is None and failed != "0":
        # From 3.1 on a worker that goes on after loads that failed stands among the old ones, with as many reloads.
        worker = next((pid for pid, reloads in old_workers.items() if reloads == failed), None)
    return Processes(master, worker, tuple(pid for pid in old_workers if pid != worker), version)
