"""How HAProxy is started, whoever starts it: the router as its child, or a container of its own."""

from __future__ import annotations

from pathlib import Path

from router.haproxy.process.binary import HaproxyBinary


def master_worker(binary: HaproxyBinary, config: Path, master_socket: Path) -> list[str]:
    """Give program and arguments of a HAProxy in master-worker mode, in the foreground (management guide, section 3).

    Args:
        binary: the HAProxy to run.
        config: its configuration file.
        master_socket: where the master shall listen; for our own user alone, with all its commands.
    """
    return [
        str(binary.path.absolute()),
        "-W",
        # Neither "daemon" nor "quiet" of somebody's template shall take it out of our hands.
        "-db",
        "-S",
        f"{master_socket.absolute()},mode,600",
        "-f",
        str(config.absolute()),
    ]
