"""Changes under a router that runs on an API server, each timed from the sending of its event to what a client gets."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from router.admission.allocation import first_choice
from router.model import Asker
from router.settings import PortRanges
from scripts.benchmark import pods
from scripts.benchmark.client import DEADLINE_S, LOOK_EVERY_S, wait_for_answer, wait_for_byte, wait_for_refusal
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.inputs import Api
from scripts.benchmark.objects import CLAIMS, ROUTES, SERVICES, SLICES, auto_route, objects_of
from scripts.benchmark.router import RouterProcess
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, Workload

Change = tuple[str, str, dict[str, Any]]
"""ADDED, MODIFIED or DELETED; the resource; the object."""

_STOP_S = 10.0
_OTHER_ADDRESSES = tuple(address for address in pods.ADDRESSES if address not in ENDPOINT_ADDRESSES)


@dataclass(frozen=True, slots=True)
class Span:
    """When the API server had made a change, began to write its event to the socket, and when a client had what it led to (``time.perf_counter``)."""

    begin_s: float
    written_s: float
    end_s: float


class Live:
    """What is changed and measured: an API server, and the router that follows it.

    Args:
        api: the API server.
        process: the router.
        workload: the Routes.
    """

    def __init__(self, api: Api, process: RouterProcess, workload: Workload) -> None:
        self.process = process
        self.workload = workload
        self._api = api
        self._moves: Counter[int] = Counter()
        """By Route."""
        self.last = Span(0.0, 0.0, 0.0)
        """Of the last change that was timed."""

    @property
    def statuses_written(self) -> int:
        """How many statuses the router has written."""
        return self._api.statuses_written

    def port(self, number: int) -> int:
        """Give the port of a Route."""
        return self.workload.external_ports[number]

    def add_services(self, numbers: Iterable[int]) -> None:
        """Add the Services and slices of Routes that come later, as they are there before the Route as a rule."""
        changes: list[Change] = []
        for number in numbers:
            objects = objects_of(self.workload, number)
            changes += [("ADDED", resource, obj) for resource in (SERVICES, SLICES) for obj in objects[resource]]
        self._api.prepare_changes(changes)()

    def move(self, number: int) -> float:
        """Put a new pod in the place of all endpoints of a Route; give the time to its first byte, milliseconds."""
        address, change = self._moved(number)
        self._api.forget_sent()
        self._api.prepare_changes([change])()
        return self.timed(SLICES, wait_for_byte(self.port(number), pods.number_of(address)))

    def prepare_move(self, number: int) -> tuple[Change, bytes]:
        """Give what puts a new pod in the place of a Route's endpoints, and its first byte."""
        address, change = self._moved(number)
        return change, pods.number_of(address)

    def send(self, *changes: Change) -> None:
        """Make changes and wait for nothing."""
        self._api.prepare_changes(changes)()

    def pour_from(self, number: int) -> None:
        """Move a Route's endpoints to the ports where pods send without end."""
        self.send(("MODIFIED", SLICES, objects_of(self.workload, number, moved=True)[SLICES][0]))

    def create(self, number: int) -> float:
        """Create a Route whose Service is there; give the time to the first byte through its port, milliseconds."""
        self._api.forget_sent()
        self.send(self.creation(number))
        return self.timed(ROUTES, wait_for_answer(self.port(number)))

    def given_port(self, number: int, ports: PortRanges) -> int:
        """Give the port that a Route is given which asks for any, where all of these are free."""
        return first_choice(Asker.route(self.workload.namespace(number), self.workload.name(number)), ports)

    def create_auto(self, number: int, ports: PortRanges) -> float:
        """Create a Route that asks for any port, whose Service is there; give the time to the first byte, milliseconds."""
        # Events of Routes come also by what the router, which leads here, writes into their statuses.
        made_s = self.send_all([("ADDED", ROUTES, auto_route(self.workload, number))], 1)
        return (wait_for_answer(self.given_port(number, ports)) - made_s) * 1000

    def delete_auto(self, number: int) -> None:
        """Delete a Route that asked for any port, and wait until its claim is given up."""
        self.send_all([("DELETED", ROUTES, auto_route(self.workload, number))], 1)
        self.wait_for_claims(0)

    def wait_for_claims(self, more: int) -> None:
        """Wait until there are so many PortClaims beside those of the Routes that are there from the beginning.

        Raises:
            BenchFailed: it does not come to that.
        """
        ends_s = time.monotonic() + DEADLINE_S
        while self._api.claims != self.workload.routes + more:
            self.process.check()
            if time.monotonic() > ends_s:
                raise BenchFailed(f"there are {self._api.claims - self.workload.routes} more PortClaims, not {more}")
            time.sleep(LOOK_EVERY_S)

    def send_all(self, changes: Sequence[Change], in_one: int) -> float:
        """Make changes as fast as the API server takes them, so many at a time; give when it had made the last ones.

        Raises:
            BenchFailed: it does not make them.
        """
        wanted = self._api.changes + -(-len(changes) // in_one)
        for start in range(0, len(changes), in_one):
            self.send(*changes[start : start + in_one])
        ends_s = time.monotonic() + DEADLINE_S
        while self._api.changes < wanted:
            self.process.check()
            if time.monotonic() > ends_s:
                raise BenchFailed("the benchmark's API server does not make the changes")
            time.sleep(LOOK_EVERY_S)
        return self._api.changed_s

    def last_claimed_s(self) -> float:
        """Give when the last PortClaim was written since ``forget_sent``."""
        return self._api.sent_s(CLAIMS)[-1]

    def creation(self, number: int) -> Change:
        """Give what creates a Route."""
        return "ADDED", ROUTES, objects_of(self.workload, number)[ROUTES][0]

    def deletion(self, number: int) -> Change:
        """Give what deletes a Route."""
        return "DELETED", ROUTES, objects_of(self.workload, number)[ROUTES][0]

    def delete(self, number: int) -> float:
        """Delete a Route; give the time until its port refuses connections, milliseconds."""
        self._api.forget_sent()
        self.send(self.deletion(number))
        return self.timed(ROUTES, wait_for_refusal(self.port(number)))

    def reloads(self) -> int:
        """Count the reloads since the last call."""
        return len(self.reloads_ms())

    def reloads_ms(self) -> list[float]:
        """Give how long the reloads since the last call took, as the router logs it, milliseconds."""
        self.process.check()
        return [each["seconds"] * 1000 for each in self.process.new_events() if each.get("event") == "reloaded"]

    def wait_for_reload(self) -> None:
        """Wait until the router has logged one.

        Raises:
            BenchFailed: it does not come.
        """
        ends_s = time.monotonic() + DEADLINE_S
        while not self.reloads():
            if time.monotonic() > ends_s:
                raise BenchFailed("the router did not reload")
            time.sleep(LOOK_EVERY_S)

    def last_sent_s(self) -> float:
        """Give when the last piece of events of Routes was sent since the API server's list was forgotten."""
        self._sent_s(ROUTES)
        return self._api.sent_s(ROUTES)[-1]

    def forget_sent(self) -> None:
        """Forget the events that were sent."""
        self._api.forget_sent()

    def timed(self, resource: str, served_s: float) -> float:
        """Give the milliseconds from the first event of a resource since ``forget_sent`` to this moment (``time.perf_counter``)."""
        self.last = Span(self._sent_s(resource), self._api.written_s(resource)[0], served_s)
        return (self.last.end_s - self.last.begin_s) * 1000

    def _moved(self, number: int) -> tuple[str, Change]:
        self._moves[number] += 1
        # Never where another pod of this Route has just been: a cluster gives no address again at once, and HAProxy has room for
        # one server of an address.
        address = _OTHER_ADDRESSES[self._moves[number] % len(_OTHER_ADDRESSES)]
        slice_ = objects_of(self.workload, number)[SLICES][0]
        endpoint = slice_["endpoints"][0]
        endpoint["addresses"] = [address]
        endpoint["targetRef"]["name"] += f"-{self._moves[number]}"
        slice_["endpoints"] = [endpoint]
        return address, ("MODIFIED", SLICES, slice_)

    def _sent_s(self, resource: str) -> float:
        """Give when the first piece of events of a resource was sent; the API server may be about to say so."""
        ends_s = time.monotonic() + DEADLINE_S
        while not (sent := self._api.sent_s(resource)):
            self.process.check()
            if time.monotonic() > ends_s:
                raise BenchFailed("the benchmark's API server did not send a change")
            time.sleep(LOOK_EVERY_S)
        return sent[0]


@contextmanager
def running_pods(workload: Workload, mib: int) -> Iterator[None]:
    """Run the pods of all endpoints until the block is left.

    Args:
        workload: has their ports; on the other one, connections get ``mib`` MiB each.
        mib: that many.

    Raises:
        BenchFailed: they do not start.
    """
    ports = (str(workload.endpoint_port), str(workload.other_endpoint_port))
    # They end with their standard input, thus with us. Ctrl-C is for us alone.
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-P", "-m", pods.__name__, *ports, str(mib)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    ) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise BenchFailed("the benchmark's pods do not start")
            yield
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
