"""Two routers behind one address, replaced one by one under load."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.attached_pod import AttachedPod
from tests.support.balancer import Balancer, Target
from tests.support.clients import connect, echoes
from tests.support.objects import app
from tests.support.ports import free_ports
from tests.support.servers import TcpServer
from tests.support.stream import Stream
from tests.support.waiting import wait_for

ADDRESSES = ("127.0.0.2", "127.0.0.3")


class Deployment:
    """Pods with one Route each, every one on an address of its own."""

    def __init__(self, directory: Path, echo: TcpServer) -> None:
        self.port, self.health = free_ports(2)
        self.pods: list[AttachedPod] = []
        self._directory = directory
        self._echo = echo

    def add(self, address: str) -> AttachedPod:
        """Start a pod."""
        directory = self._directory / f"pod-{len(self.pods)}"
        directory.mkdir()
        pod = AttachedPod(
            directory, "--bind-address", address, "--tcp-health-port", str(self.health), "--shutdown-delay", "1h"
        )
        self.pods.append(pod)
        pod.router.write("db.yaml", *app("db", self.port, (self._echo.address, self._echo.port)))
        return pod.start()


@pytest.fixture
def deployment(tmp_path: Path, echo: TcpServer) -> Iterator[Deployment]:
    """A deployment without pods; all that it started is ended after the test."""
    made = Deployment(tmp_path, echo)
    with contextlib.ExitStack() as stack:
        yield made
        for pod in made.pods:
            stack.callback(pod.end)


def opens(address: str, port: int) -> bool:
    """Whether a connection can be made: all that the health check of an L4 balancer does."""
    socket.create_connection((address, port), 10).close()
    return True


class Rollout:
    """Replaces pods of a deployment behind a balancer, in the order in which a kubelet ends and starts containers.

    The last target is followed by /readyz, the other by the TCP health port.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.pods = {address: deployment.add(address) for address in ADDRESSES}
        first, last = ADDRESSES
        self.targets = {
            first: Target(first, deployment.port, lambda: opens(first, deployment.health)),
            last: Target(last, deployment.port, lambda: self.pods[last].router.is_ready()),  # noqa: PLW0108 - that of then
        }

    def replace(self, address: str, balancer: Balancer, streams: Sequence[Stream]) -> None:
        """Replace one pod; what is connected to it must be served on until its client ends it."""
        old, target, port = self.pods[address], self.targets[address], self._deployment.port
        router = old.router.process
        assert router is not None
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(connect(balancer.port)) for _ in range(4)]
            held.append(stack.enter_context(connect(port, to=address)))
            assert all(map(echoes, held))
            router.send_signal(signal.SIGUSR1)
            wait_for(lambda: not balancer.sends_to(target), "the balancer to notice")
            # What a stream had opened there has ended when its next connection but one is served.
            seen = [stream.good for stream in streams]
            wait_for(
                lambda: all(stream.good > good + 1 for stream, good in zip(streams, seen, strict=True)),
                "connections that were on their way to have ended",
            )
            # The shutdown delay is over; a second signal ends it.
            assert old.hurry_router() == 0
            old.signal_haproxy(signal.SIGUSR1)
            assert all(map(echoes, held))
            self.pods[address] = self._deployment.add(address)
            wait_for(lambda: balancer.sends_to(target), "the new one to be in use")
            assert all(map(echoes, held))
            assert old.haproxy_pids()
        assert old.wait_haproxy_ended() == 0


def test_no_connection_is_lost_while_one_by_one_is_replaced(deployment: Deployment) -> None:
    """Every new connection is served, and those that are held end when their clients end them, not before."""
    rollout = Rollout(deployment)
    with Balancer(*rollout.targets.values()) as balancer, contextlib.ExitStack() as stack:
        wait_for(lambda: all(map(balancer.sends_to, rollout.targets.values())), "both to be in use")
        streams = [stack.enter_context(Stream(balancer.port)) for _ in range(3)]
        for address in ADDRESSES:
            rollout.replace(address, balancer, streams)
        served = [stream.good for stream in streams]
        wait_for(lambda: all(s.good > good for s, good in zip(streams, served, strict=True)), "the streams to go on")
        assert [stream.bad for stream in streams] == [[], [], []]
        assert balancer.failures == []
