"""All figures for one number of Routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from router.haproxy.binary import HaproxyBinary
from router.settings import RenderSettings
from router.state_dir import StateDir
from scripts.benchmark import haproxy, inside
from scripts.benchmark.figures import TARGET, Figure, Unit, summarize
from scripts.benchmark.ports import free_ports
from scripts.benchmark.router import AFTER, BEFORE, ColdStart, running
from scripts.benchmark.services import HOST, Services
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, Workload

PARSE = "parse"
COLD = "own share, cold"
ENDPOINT_OWN = "own share, endpoint moved"
ROUTE_OWN = "own share, new Route"
CHECK = "haproxy -c"
RELOAD = "reload"
START = "start to traffic"
MEMORY = "memory of the router"
ENDPOINT_TRAFFIC = "file to traffic, endpoints moved"
ENDPOINT_RELOAD = "the router's reload, endpoints moved"
ROUTE_TRAFFIC = "file to traffic, new Route"
ROUTE_RELOAD = "the router's reload, new Route"

Share = Mapping[str, float]
"""HAProxy's part in a change, by the name that is printed with it; milliseconds."""
OPENSHIFT = "OpenShift's router"
OPENSHIFT_DYNAMIC = "OpenShift's with its dynamic manager"
HAPROXY_SHARE = "HAProxy's share (-c, reload)"

MORE_RUNS = 10
"""How many times as many runs the figures of a few milliseconds get."""

_MANIFESTS = "manifests"
"""The folder in ours."""

_TARGETS = {1_000: 10.0, 5_000: 30.0}
"""Milliseconds that our own share may take after one change, by the number of Routes."""
_OPENSHIFT = {
    (1_000, ENDPOINT_TRAFFIC): {OPENSHIFT: 310.0, OPENSHIFT_DYNAMIC: 3.6},
    (1_000, ROUTE_TRAFFIC): {OPENSHIFT: 271.0},
    (5_000, ENDPOINT_TRAFFIC): {OPENSHIFT_DYNAMIC: 3.4},
    (5_000, ROUTE_TRAFFIC): {OPENSHIFT: 1_320.0},
    (5_000, START): {OPENSHIFT: 1_700.0},
    (5_000, MEMORY): {OPENSHIFT: 308.0},
}
"""What OpenShift's router needed for the same work; not measured by this script (docs/benchmarks.md)."""


def measure(
    routes: int, runs: int, binary: HaproxyBinary, directory: Path, note: Callable[[str], None]
) -> list[Figure]:
    """Measure everything for so many Routes.

    Args:
        routes: how many, 1 at least.
        runs: of each figure, 1 at least.
        binary: the HAProxy to run.
        directory: an empty one, with a path that is short enough for sockets.
        note: is told what is being measured.

    Raises:
        BenchFailed, RouterError: something did not work.
    """
    series = _Series(routes, runs, note)
    # A port for each Route, for each new one, and two for the services.
    behind, other, *external = free_ports(routes + runs + 2, ENDPOINT_ADDRESSES)
    workload = Workload(routes, tuple(external), behind, other)
    workload.write_all(directory / _MANIFESTS)
    share = _in_parts(series, workload, binary, directory)
    with Services({behind: BEFORE, other: AFTER}):
        _as_a_whole(series, workload, binary, directory, share)
    return series.figures


class _Series:
    """The figures so far of one number of Routes."""

    def __init__(self, routes: int, runs: int, note: Callable[[str], None]) -> None:
        self.runs = runs
        self.figures: list[Figure] = []
        self._routes = routes
        self._note = note

    def begin(self, name: str) -> None:
        self._note(f"{self._routes:,} Routes: {name}")

    def add(self, name: str, samples: Sequence[float], share: Share | None = None, unit: Unit = "ms") -> Figure:
        compared_with = dict(share or {})
        if name in {ENDPOINT_OWN, ROUTE_OWN} and self._routes in _TARGETS:
            compared_with[TARGET] = _TARGETS[self._routes]
        compared_with.update(_OPENSHIFT.get((self._routes, name), {}))
        figure = summarize(self._routes, name, samples, compared_with, unit)
        self.figures.append(figure)
        return figure


def _in_parts(series: _Series, workload: Workload, binary: HaproxyBinary, directory: Path) -> Share:
    """Measure each part by itself; give HAProxy's share of a change."""
    state = StateDir(directory / "state")
    settings = RenderSettings(state_dir=state.path, ip_mode="v4", bind_addresses=(HOST,))
    series.begin(PARSE)
    samples, loaded = inside.parse_ms(directory / _MANIFESTS, series.runs)
    series.add(PARSE, samples)
    series.begin(COLD)
    samples, rendered = inside.cold_ms(loaded.objects, settings, series.runs)
    series.add(COLD, samples)
    series.begin(ENDPOINT_OWN)
    series.add(ENDPOINT_OWN, inside.endpoint_moved_ms(loaded.objects, settings, series.runs * MORE_RUNS))
    series.begin(ROUTE_OWN)
    series.add(ROUTE_OWN, inside.new_route_ms(loaded.objects, workload, settings, series.runs * MORE_RUNS))

    state.open()
    try:
        state.write_candidate(rendered.config, rendered.files)
        state.promote()
        series.begin(CHECK)
        check = series.add(CHECK, haproxy.check_ms(binary, state.config, series.runs))
        series.begin(RELOAD)
        reload = series.add(RELOAD, haproxy.reload_ms(binary, state.config, settings, series.runs))
    finally:
        state.close()
    return {HAPROXY_SHARE: check.median + reload.median}


def _as_a_whole(series: _Series, workload: Workload, binary: HaproxyBinary, directory: Path, share: Share) -> None:
    """Measure the router as a process: its starts, and changes of files under the one that was started last."""
    folder = directory / _MANIFESTS
    series.begin(START)
    starts: list[ColdStart] = []
    for run in range(series.runs - 1):
        with running(binary, workload, folder, directory / f"router-{run}") as (_, start):
            starts.append(start)
    with running(binary, workload, folder, directory / "router") as (router, start):
        starts.append(start)
        series.add(START, [each.elapsed_ms for each in starts], share)
        series.add(MEMORY, [each.resident_mib for each in starts], unit="MiB")

        series.begin(ENDPOINT_TRAFFIC)
        middle = workload.routes // 2
        moves = [router.change(middle, BEFORE if run % 2 else AFTER) for run in range(series.runs)]
        series.add(ENDPOINT_TRAFFIC, [each.elapsed_ms for each in moves], share)
        series.add(ENDPOINT_RELOAD, [each.reload_ms for each in moves], share)

        series.begin(ROUTE_TRAFFIC)
        additions = [router.change(workload.routes + run, BEFORE) for run in range(series.runs)]
        series.add(ROUTE_TRAFFIC, [each.elapsed_ms for each in additions], share)
        series.add(ROUTE_RELOAD, [each.reload_ms for each in additions], share)
