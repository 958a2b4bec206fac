"""The benchmark's API server measured as the real one was (``calibration``), so that each can see how far apart they are."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.benchmark import calibration
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import TARGET_LEAST, TARGET_MOST, Figure, Unit, summarize
from scripts.benchmark.inputs import Api
from scripts.benchmark.objects import ROUTES, SERVICES, SLICES, objects_of
from scripts.benchmark.workload import Workload

REAL = "a real API server"
_NAME = "API server: {}"
_WITHIN = 0.25
"""So far from the real one it may be, of either side."""
_PATHS = {
    ROUTES: "/apis/route.openshift.io/v1/routes",
    SERVICES: "/api/v1/services",
    SLICES: "/apis/discovery.k8s.io/v1/endpointslices",
}
_WATCH_LIST = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
_END = b"k8s.io/initial-events-end"
_PAGE = 500
_WRITES_PER_S = 50.0
_TIMEOUT_S = 60.0
_PIECE = 1 << 16
_MORE_WRITES = 10
NAMES = tuple(_NAME.format(name) for name in (*calibration.BYTES, *calibration.TIMES))
"""Of all its figures, in their order."""


def measure_server(workload: Workload, runs: int, directory: Path, note: Callable[[str], None]) -> list[Figure]:
    """Measure lists, WatchLists and writes of an API server of its own.

    Args:
        workload: what it has; without statuses, and with them once more.
        runs: of each.
        directory: does not exist yet.
        note: is told what is being measured.

    Raises:
        BenchFailed: it does not answer as it should.
    """
    directory.mkdir()
    samples: dict[str, Sequence[float]] = {}
    with Api(replace(workload, has_statuses=False), directory / "plain") as api, closing(_Client(api)) as client:
        note(f"{workload.routes:,} Routes: {_NAME.format('lists')}")
        samples["Routes, one list"] = [client.list_ms(ROUTES) for _ in range(runs)]
        samples["Routes, pages of 500"] = [sum(client.pages_ms()) for _ in range(runs)]
        both = [client.watch_list_ms() for _ in range(runs)]
        samples["Routes, WatchList, first object"] = [first_ms for first_ms, _ in both]
        samples["Routes, WatchList"] = [last_ms for _, last_ms in both]
        samples["Services, one list"] = [client.list_ms(SERVICES) for _ in range(runs)]
        samples["EndpointSlices, one list"] = [client.list_ms(SLICES) for _ in range(runs)]
        samples["an EndpointSlice written"] = [client.write_ms(run) for run in range(runs * _MORE_WRITES)]
        samples["a Route without status"] = client.sizes(ROUTES)
        samples["a Service"] = client.sizes(SERVICES)
        samples["an EndpointSlice"] = client.sizes(SLICES)
    with Api(replace(workload, has_statuses=True), directory / "statuses") as api, closing(_Client(api)) as client:
        samples["a Route with status"] = client.sizes(ROUTES)
        with _writing(api, workload):
            samples["Routes with status, one list, statuses written"] = [client.list_ms(ROUTES) for _ in range(runs)]
            samples["Routes with status, a page of 500, statuses written"] = [
                statistics.median(client.pages_ms()) for _ in range(runs)
            ]
    return [
        _figure(workload.routes, name, measured, samples[name])
        for name, measured in {**calibration.BYTES, **calibration.TIMES}.items()
    ]


def _figure(routes: int, name: str, measured: calibration.Measured, samples: Sequence[float]) -> Figure:
    is_size = name in calibration.BYTES
    beside = {REAL: measured.middle}
    # Ours have three endpoints, as all that is measured here; what they cost is reckoned by the object.
    if name != "an EndpointSlice" and (routes == calibration.OBJECTS or is_size):
        beside |= {TARGET_LEAST: measured.least * (1 - _WITHIN), TARGET_MOST: measured.most * (1 + _WITHIN)}
    unit: Unit = "B" if is_size else "ms"
    return summarize(routes, _NAME.format(name), samples, beside, unit)


class _Client:
    """One client with a connection of its own, which reads and decodes nothing that it need not."""

    def __init__(self, api: Api) -> None:
        self._connection = http.client.HTTPSConnection(
            urlsplit(api.url).netloc, timeout=_TIMEOUT_S, context=api.client_context()
        )
        self.ask("GET", f"{_PATHS[SERVICES]}?limit=1")

    def close(self) -> None:
        """End its connection."""
        self._connection.close()

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """Ask, and give the answer's body.

        Raises:
            BenchFailed: it is a refusal.
        """
        headers = {"Content-Type": "application/merge-patch+json"}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        read = answer.read()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise BenchFailed(f"the benchmark's API server answered {method} {path} by {answer.status}")
        return read

    def items(self, resource: str) -> list[dict[str, Any]]:
        """Give all objects of a resource."""
        items: list[dict[str, Any]] = json.loads(self.ask("GET", _PATHS[resource]))["items"]
        return items

    def sizes(self, resource: str) -> list[float]:
        """Give the sizes of its objects, bytes of JSON."""
        return [float(len(json.dumps(item, separators=(",", ":")))) for item in self.items(resource)]

    def list_ms(self, resource: str) -> float:
        """Time a list without a limit."""
        began_s = time.perf_counter()
        self.ask("GET", _PATHS[resource])
        return _ms_since(began_s)

    def pages_ms(self) -> list[float]:
        """Time each page of a list of Routes."""
        samples, token = [], ""
        while True:
            began_s = time.perf_counter()
            page = self.ask("GET", f"{_PATHS[ROUTES]}?limit={_PAGE}&continue={token or 0}")
            samples.append(_ms_since(began_s))
            # The metadata come first here, and are not worth decoding a page for.
            token = json.loads(page[page.index(b"{", 1) : page.index(b"}") + 1]).get("continue", "")
            if not token:
                return samples

    def watch_list_ms(self) -> tuple[float, float]:
        """Time the first object of a WatchList, and the bookmark after the last one."""
        began_s = time.perf_counter()
        self._connection.request("GET", f"{_PATHS[ROUTES]}?{_WATCH_LIST}")
        stream = self._connection.getresponse()
        first_ms, last = 0.0, b""
        while piece := stream.read1(_PIECE):
            first_ms = first_ms or _ms_since(began_s)
            last = last[-len(_END) :] + piece
            if _END in last:
                stream.close()
                self._connection.close()
                return first_ms, _ms_since(began_s)
        raise BenchFailed("the benchmark's API server ended a WatchList before its bookmark")

    def write_ms(self, number: int) -> float:
        """Time a write, of which nothing comes: an Event takes as long as a slice."""
        began_s = time.perf_counter()
        self.ask("POST", "/apis/events.k8s.io/v1/namespaces/team-00/events", {"metadata": {"name": f"{number}"}})
        return _ms_since(began_s)


@contextmanager
def _writing(api: Api, workload: Workload) -> Iterator[None]:
    """Write statuses as fast as a router does while it starts for the first time, until the block is left."""
    ended = threading.Event()
    client = _Client(api)
    listed = client.items(ROUTES)
    keys = [(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in listed]
    versions = [obj["metadata"]["resourceVersion"] for obj in listed]
    entry = objects_of(workload, 0)[ROUTES][0]["status"]["ingress"][0]

    def write() -> None:
        began_s, written = time.monotonic(), 0
        while not ended.wait(max(began_s + written / _WRITES_PER_S - time.monotonic(), 0)):
            place = written % len(keys)
            namespace, name = keys[place]
            path = f"/apis/route.openshift.io/v1/namespaces/{namespace}/routes/{name}/status"
            patch = {"metadata": {"resourceVersion": versions[place]}, "status": {"ingress": [entry]}}
            versions[place] = json.loads(client.ask("PATCH", path, patch))["metadata"]["resourceVersion"]
            written += 1

    thread = threading.Thread(target=write, name="statuses", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        client.close()


def _ms_since(began_s: float) -> float:
    return (time.perf_counter() - began_s) * 1000
