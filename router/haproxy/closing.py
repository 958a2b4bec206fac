"""The order in which a HAProxy that is to end closes what it listens on.

At a soft stop it closes all at once, also the sockets by which clients come to where their TLS ends. One who had connected, and had not told its server
name yet, would find that closed.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import structlog

from router.errors import HaproxyError
from router.haproxy.talk import runtime, stats
from router.model import spot_of
from router.plan.commands import close_frontend

log = structlog.get_logger()

_NAME_WITHIN_S = 5.5
"""So long the ports' frontends wait for a client's server name, and a little."""
_LOOK_EVERY_S = 0.05
_SECOND = "fe_tls"
_BACKENDS = ("be_tcp:", "pool:", "tls:", "be_tls:")


def close_ports_first(stats_socket: Path, timeout_s: float, hurry: threading.Event, within_s: float) -> None:
    """Close the ports of clients, and wait until nobody is on the way to where TLS ends; at once where it ends nowhere.

    Args:
        stats_socket: the worker's.
        timeout_s: seconds that each question or command may take.
        hurry: set, it ends the wait.
        within_s: seconds that all may take.
    """
    ends_s = time.monotonic() + min(within_s, _NAME_WITHIN_S)
    try:
        listening = stats.frontends(stats_socket, timeout_s)
        if within_s <= 0 or not any(name.startswith(_SECOND) for name in listening):
            return
        runtime.run(stats_socket, [close_frontend(name) for name in listening if spot_of(name) is not None], timeout_s)
        while _on_their_way(stats_socket, timeout_s) > 0 and time.monotonic() < ends_s:
            if hurry.wait(_LOOK_EVERY_S):
                return
    except HaproxyError as error:
        log.warning("ports not closed first", problem=str(error))


def _on_their_way(stats_socket: Path, timeout_s: float) -> int:
    """Give how many clients have no backend yet: those of the ports, less what backends have of them, which have those of the second frontends too."""
    frontends = stats.frontend_sessions(stats_socket, timeout_s)
    first = sum(sessions for name, sessions in frontends.items() if spot_of(name) is not None)
    second = sum(sessions for name, sessions in frontends.items() if name.startswith(_SECOND))
    backends = stats.backends(stats_socket, timeout_s)
    return first + second - sum(each.sessions for name, each in backends.items() if name.startswith(_BACKENDS))
