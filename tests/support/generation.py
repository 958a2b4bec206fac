"""Pods of one router that share a network, as those on the host's network do: each has a state directory of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from router.haproxy.generations import kernel
from router.haproxy.talk.listeners import listening
from tests.support.attached_pod import AttachedPod
from tests.support.router_process import RouterProcess, processes_with
from tests.support.waiting import wait_for

GRACE_S = 40.0
_DELAY = "3s"
"""Of a router that runs its HAProxy itself: a second signal ends not the delay alone, but connections too."""
AS_ANOTHER_USER = (
    "setpriv", "--reuid", "54321", "--securebits", "+no_setuid_fixup", "--inh-caps", "-all,+dac_override", "--ambient-caps", "-all,+dac_override",
)  # fmt: skip
"""Starts a program as a user of no name, which can read and write what root can: what it needs may be in root's home.

The bit keeps that true for access(2).
"""


class Generation:
    """One of them: both containers, or a router that runs its HAProxy itself.

    Args:
        directory: for its state and logs; made.
        manifests: the folder that all of them read.
        http_port: the port that all of them want for HTTP.
        options: further options of ``tcp-router run``.
        attached: whether HAProxy is a container of its own.
        launcher: what both are started by.
    """

    def __init__(
        self,
        directory: Path,
        manifests: Path,
        http_port: int,
        *options: str,
        attached: bool = True,
        launcher: tuple[str, ...] = (),
    ) -> None:
        directory.mkdir()
        every = (
            "--host-network", "--reserved-ports", "", "--manifests", str(manifests), "--shutdown-delay", "1h" if attached else _DELAY,
            "--listen", f"127.0.0.1:{http_port}", "--drain-timeout", "60s", *options,
        )  # fmt: skip
        self.pod = AttachedPod(directory, *every, launcher=launcher) if attached else None
        self.router = self.pod.router if self.pod is not None else RouterProcess(directory, *every, launcher=launcher)
        self.http_port = http_port

    @property
    def state(self) -> Path:
        """Its own state directory."""
        return self.router.state

    def launch(self) -> None:
        """Start it."""
        if self.pod is not None:
            self.pod.start_haproxy()
        self.router.launch()

    def start(self) -> Generation:
        """Start it, and wait until its kubelet would call it ready."""
        self.launch()
        wait_for(self.is_ready, f"the router in {self.state} to be ready")
        return self

    def is_ready(self) -> bool:
        """Ask as the kubelet does: by the command of the manifests' probe, in the container."""
        return probe(self.state / "run" / "ready.sock") == 0

    def is_alive(self) -> bool:
        """The same for the other probe."""
        return probe(self.state / "run" / "alive.sock") == 0

    def tell_to_end(self) -> None:
        """Send the router its signal; it goes on serving, not ready, until ``end_softly``."""
        assert self.router.process is not None
        self.router.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not self.is_ready(), "the router to be ready no more")

    def close_ports(self) -> None:
        """End the shutdown delay, and with it the router's container; then HAProxy closes its ports and drains."""
        process = self.router.process
        assert process is not None
        if self.pod is not None:
            assert self.pod.hurry_router() == 0
            self.pod.signal_haproxy(signal.SIGUSR1)
        else:
            ours = {inode for _, inode in listening(self.state / "run" / "haproxy.sock", GRACE_S)}
            ports = range(1, 65536)
            wait_for(lambda: not ours & {each.inode for each in kernel.listeners(ports)}, "the delay to end", GRACE_S)

    def wait_ended(self) -> None:
        """Wait until nothing of it is left."""
        if self.pod is not None:
            assert self.pod.wait_haproxy_ended() == 0
        else:
            assert self.router.process is not None
            assert self.router.process.wait(GRACE_S) == 0
        wait_for(lambda: not self.router.haproxy_pids(), "HAProxy to be gone")

    def end(self) -> None:
        """End it by force, where it still runs."""
        if self.pod is not None:
            self.pod.end()
        elif self.router.process is not None and self.router.process.poll() is None:
            self.router.process.kill()
            self.router.process.wait()
        wait_for(lambda: not processes_with(str(self.state / "haproxy.cfg")), "HAProxy to be gone")


def probe(socket_path: Path) -> int:
    """Give the exit code of the kubelet's probe on a socket: that of manifests/overlays/host-network/deployment.yaml."""
    return subprocess.run([sys.executable, *PROBE, str(socket_path)], timeout=20, check=False).returncode


PROBE = (
    "-ISc",
    'import _socket, sys; s = _socket.socket(1); s.settimeout(4); s.connect(sys.argv[1]); sys.exit(s.recv(2) != b"ok")',
)
"""What comes after the interpreter; that the manifests have the same is a test."""
