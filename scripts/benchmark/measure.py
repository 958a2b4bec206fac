"""All figures for one number of Routes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.haproxy.process.binary import HaproxyBinary
from router.reconcile.state_dir import StateDir
from router.settings import RenderSettings
from scripts.benchmark import haproxy, inside
from scripts.benchmark.backends import measure_backends
from scripts.benchmark.beside import measure_beside
from scripts.benchmark.figures import TARGET, Figure, Unit, summarize
from scripts.benchmark.inputs import Api, Folder, Input
from scripts.benchmark.plane import measure_plane
from scripts.benchmark.ports import free_ports
from scripts.benchmark.router import AFTER, BEFORE, ColdStart, running
from scripts.benchmark.runtime import measure_runtime
from scripts.benchmark.server import measure_server
from scripts.benchmark.services import HOST, Services
from scripts.benchmark.size import measure_size
from scripts.benchmark.tls import measure_tls
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, SLICES_IDEAL, Workload

PARSE = "parse"
COLD = "own share, cold"
ENDPOINT_OWN = "own share, endpoint moved"
ROUTE_OWN = "own share, new Route"
CHECK = "haproxy -c"
RELOAD = "reload"
START = "start to traffic"
MEMORY = "memory of the router"
PEAK = "its peak"
ENDPOINT_TRAFFIC = "file to traffic, endpoints moved"
ROUTE_TRAFFIC = "file to traffic, new Route"
ROUTE_RELOAD = "the router's reload, new Route"
API_SYNCED = "start to synced, from an API server"
API_START = "start to traffic, from an API server"
API_MEMORY = "memory of the router, from an API server"
API_PEAK = "its peak, from an API server"
API_ENDPOINT_TRAFFIC = "API to traffic, endpoints moved"
API_ROUTE_TRAFFIC = "API to traffic, new Route"
API_ROUTE_RELOAD = "the router's reload, new Route, API"

PARTS = ("parts", "manifests", "api", "runtime", "gateways", "server")
"""What is measured, and each by itself."""
ONLY_ASKED = ("tls", "size", "backends", "plane")
"""What is measured where it is asked for."""

Share = Mapping[str, float]
"""HAProxy's part in a change, by the name that is printed with it; milliseconds."""
OPENSHIFT = "OpenShift's router"
OPENSHIFT_DYNAMIC = "OpenShift's with its dynamic manager"
HAPROXY_SHARE = "HAProxy's share (reload)"

MORE_RUNS = 10
"""How many times as many runs the figures of a few milliseconds get."""

_MANIFESTS = "manifests"
"""The folder in ours."""

_OWN_TARGETS = {1_000: 10.0, 5_000: 30.0}
"""Milliseconds that our own share may take after one change, by the number of Routes."""
_TARGETS = {
    **{(routes, name): target for routes, target in _OWN_TARGETS.items() for name in (ENDPOINT_OWN, ROUTE_OWN)},
    (5_000, API_START): 2_000.0,
    (5_000, API_MEMORY): 110.0,
}
_OPENSHIFT = {
    (1_000, ENDPOINT_TRAFFIC): {OPENSHIFT: 310.0, OPENSHIFT_DYNAMIC: 3.6},
    (1_000, ROUTE_TRAFFIC): {OPENSHIFT: 271.0},
    (5_000, ENDPOINT_TRAFFIC): {OPENSHIFT_DYNAMIC: 3.4},
    (5_000, ROUTE_TRAFFIC): {OPENSHIFT: 1_320.0},
    (5_000, START): {OPENSHIFT: 1_700.0},
    (5_000, MEMORY): {OPENSHIFT: 308.0},
}
_OPENSHIFT.update(
    {
        (routes, of_api): _OPENSHIFT[routes, of_files]
        for routes in (1_000, 5_000)
        for of_files, of_api in (
            (ENDPOINT_TRAFFIC, API_ENDPOINT_TRAFFIC),
            (ROUTE_TRAFFIC, API_ROUTE_TRAFFIC),
            (START, API_START),
            (MEMORY, API_MEMORY),
        )
        if (routes, of_files) in _OPENSHIFT
    }
)
"""What OpenShift's router needed for the same work; not measured by this script (docs/benchmarks.md)."""


def measure(  # noqa: PLR0913, PLR0917 - what there is to choose
    routes: int,
    runs: int,
    parts: Collection[str],
    binary: HaproxyBinary,
    directory: Path,
    note: Callable[[str], None],
    *,
    is_ideal: bool = False,
    beside: Sequence[HaproxyBinary] = (),
) -> list[Figure]:
    """Measure everything, or some of it, for so many Routes.

    Args:
        routes: how many, 1 at least.
        runs: of each figure, 1 at least.
        parts: of ``PARTS`` and ``ONLY_ASKED``.
        binary: the HAProxy to run.
        directory: an empty one, with a path that is short enough for sockets.
        note: is told what is being measured.
        is_ideal: the API server answers at once and without TLS.
        beside: other HAProxies, for the part ``backends``.

    Raises:
        BenchFailed, RouterError: something did not work.
    """
    series = _Series(routes, runs, note)
    if "tls" in parts:
        series.figures += measure_tls(routes, runs, binary, directory / "tls", note)
    if "size" in parts:
        series.figures += measure_size(routes, runs, binary, directory / "size", note)
    if "backends" in parts:
        series.figures += measure_backends(routes, runs, (binary, *beside), directory / "backends", note)
    if "plane" in parts:
        series.figures += measure_plane(routes, runs, binary, directory / "plane", note)
    if set(parts) - {"runtime", "gateways", "server", *ONLY_ASKED}:
        _with_reloads(series, routes, parts, binary, directory, is_ideal=is_ideal)
    if "runtime" in parts:
        series.figures += measure_runtime(routes, runs, binary, directory / "runtime", note, is_ideal=is_ideal)
    if "gateways" in parts and routes > 1:
        series.figures += measure_beside(routes, runs, binary, directory / "gateways", note, is_ideal=is_ideal)
    if "server" in parts:
        # Its Routes are never served.
        ports = tuple(range(1, routes + 1))
        series.figures += measure_server(Workload(routes, ports, 1, 2), runs, directory / "server", note)
    return series.figures


def _with_reloads(  # noqa: PLR0913 - as above
    series: _Series,
    routes: int,
    parts: Collection[str],
    binary: HaproxyBinary,
    directory: Path,
    *,
    is_ideal: bool,
) -> None:
    # A port for each Route, for each new one, and two for the services.
    behind, other, *external = free_ports(routes + series.runs + 2, ENDPOINT_ADDRESSES)
    workload = Workload(routes, tuple(external), behind, other, slices=SLICES_IDEAL if is_ideal else 1)
    workload.write_all(directory / _MANIFESTS)
    share = _in_parts(series, workload, binary, directory) if "parts" in parts else {}
    with Services({behind: BEFORE, other: AFTER}):
        if "manifests" in parts:
            source = Folder(workload, directory / _MANIFESTS)
            _as_a_whole(series, workload, _Whole(binary, source, _OF_FILES, share), directory / "from-files")
        if "api" in parts:
            with Api(workload, directory / "objects", is_ideal=is_ideal) as api:
                _as_a_whole(series, workload, _Whole(binary, api, _OF_API, share), directory / "from-api")


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
        if (self._routes, name) in _TARGETS:
            compared_with[TARGET] = _TARGETS[self._routes, name]
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
        series.add(CHECK, haproxy.check_ms(binary, state.config, series.runs))
        series.begin(RELOAD)
        reload = series.add(RELOAD, haproxy.reload_ms(binary, state.config, settings, series.runs))
    finally:
        state.close()
    return {HAPROXY_SHARE: reload.median}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What the figures of a router as a whole are called; those that nobody can take have no name."""

    synced: str = ""
    start: str
    memory: str
    peak: str
    endpoint_traffic: str
    route_traffic: str
    route_reload: str


_OF_FILES = _Names(
    start=START,
    memory=MEMORY,
    peak=PEAK,
    endpoint_traffic=ENDPOINT_TRAFFIC,
    route_traffic=ROUTE_TRAFFIC,
    route_reload=ROUTE_RELOAD,
)
_OF_API = _Names(
    synced=API_SYNCED,
    start=API_START,
    memory=API_MEMORY,
    peak=API_PEAK,
    endpoint_traffic=API_ENDPOINT_TRAFFIC,
    route_traffic=API_ROUTE_TRAFFIC,
    route_reload=API_ROUTE_RELOAD,
)


@dataclass(frozen=True, slots=True)
class _Whole:
    """A router as a process: what it runs and reads, and what that is called; HAProxy's share to print beside it."""

    binary: HaproxyBinary
    source: Input
    names: _Names
    share: Share


def _as_a_whole(series: _Series, workload: Workload, whole: _Whole, directory: Path) -> None:
    """Measure the router as a process: its starts, and changes under the one that was started last."""
    names, share = whole.names, whole.share
    directory.mkdir()
    series.begin(names.start)
    starts: list[ColdStart] = []
    for run in range(series.runs - 1):
        with running(whole.binary, workload, whole.source, directory / f"{run}") as (_, start):
            starts.append(start)
    with running(whole.binary, workload, whole.source, directory / "last") as (router, start):
        starts.append(start)
        if names.synced:
            series.add(names.synced, [each.synced_ms for each in starts if each.synced_ms is not None])
        series.add(names.start, [each.elapsed_ms for each in starts], share)
        series.add(names.memory, [each.resident_mib for each in starts], unit="MiB")
        series.add(names.peak, [each.peak_mib for each in starts], unit="MiB")

        series.begin(names.endpoint_traffic)
        middle = workload.routes // 2
        moves = [router.move(middle, BEFORE if run % 2 else AFTER) for run in range(series.runs)]
        series.add(names.endpoint_traffic, moves)

        series.begin(names.route_traffic)
        additions = [router.add(workload.routes + run) for run in range(series.runs)]
        series.add(names.route_traffic, [each.elapsed_ms for each in additions], share)
        series.add(names.route_reload, [each.reload_ms for each in additions], share)
