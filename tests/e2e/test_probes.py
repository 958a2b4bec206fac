"""The commands by which the kubelet asks HAProxy's container, exactly as the manifests have them, on a real HAProxy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.kustomize import containers, router_pod
from tests.support.router_process import RouterProcess

STATE = "/var/lib/tcp-router"
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def ask(router: RouterProcess, probe: str) -> int:
    """Run a probe's command on a router's state directory; give its exit code."""
    command = containers(router_pod("base"))["haproxy"][probe]["exec"]["command"]
    interpreter, *arguments = (argument.replace(STATE, str(router.state)) for argument in command)
    assert interpreter == "python3"
    done = subprocess.run([sys.executable, *arguments], capture_output=True, timeout=60, check=False)
    return done.returncode


@contextmanager
def paused(*pids: int) -> Iterator[None]:
    """Stop processes for as long as this lasts, as a hang does."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("probe", PROBES)
def test_probe_tells_whether_haproxy_answers(router: RouterProcess, probe: str) -> None:
    """HAProxy that runs is well; one that hangs is not, nor one that is gone and whose sockets' files are still there."""
    assert ask(router, probe) != 0
    router.start()
    assert ask(router, probe) == 0
    # The router itself too, or it would do something about it.
    with paused(router.pid, *router.haproxy_pids()):
        assert ask(router, probe) != 0
    assert ask(router, probe) == 0
    router.stop(signal.SIGKILL)
    assert ask(router, probe) != 0
