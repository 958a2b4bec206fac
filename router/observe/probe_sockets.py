"""Whether the router is alive and ready, on sockets in the state directory: for probes that a kubelet runs in the container.

On the host's network a probe by HTTP would ask whichever generation of the router has the port.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from router.haproxy.generations.answers import Answers
from router.observe.health import Health


def probe_sockets(alive: tuple[Path, Callable[[], Health]], ready: tuple[Path, Callable[[], Health]]) -> Answers:
    """Make them; each says ``ok``, or a line for each problem.

    Raises:
        SettingsError: one of them cannot be made.
    """
    return Answers("probes", {path: _saying(judge) for path, judge in (alive, ready)})


def _saying(judge: Callable[[], Health]) -> Callable[[], bytes]:
    def answer() -> bytes:
        health = judge()
        return b"ok\n" if health.ok else "".join(f"{problem}\n" for problem in health.problems).encode()

    return answer
