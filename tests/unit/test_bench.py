"""The benchmark's helpers: what runs come to, which ports are taken, and what the manifests hold."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission import Admission
from router.manifests.parse import load
from router.objects.discovery import EndpointSlice
from router.objects.store import Store
from router.settings import RenderSettings
from scripts.benchmark import inside
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import TARGET, Figure, percentile, summarize
from scripts.benchmark.output import Machine, as_json, as_table
from scripts.benchmark.ports import PREFERRED, candidates, ephemeral_ports, free_ports
from scripts.benchmark.services import Services, answer, wait_for_answer
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, Workload

MACHINE = Machine(cores=2, cpu="some", kernel="Linux 6", python="3.11.2", haproxy="2.8.25", router="0.1.0", load=0.5)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        pytest.param([7.0], 99, 7.0, id="one value"),
        pytest.param(list(range(1, 101)), 99, 99, id="of a hundred the 99th"),
        pytest.param(list(range(1, 102)), 99, 100, id="of 101 the 100th"),
        pytest.param(list(range(1, 11)), 99, 10, id="of ten the last"),
        pytest.param([1, 2, 3, 4], 50, 2, id="half of four"),
        pytest.param([1, 2, 3], 0, 1, id="none is the first"),
    ],
)
def test_percentile(values: list[float], percent: int, expected: float) -> None:
    """The nearest rank: the smallest value that so many percent do not exceed."""
    assert percentile(values, percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=250))
def test_figure_is_of_its_samples(samples: list[float]) -> None:
    """A figure's values lie between its smallest and largest sample, in whatever order they came."""
    figure = summarize(100, "thing", samples, {})
    assert (figure.runs, figure.min, figure.max) == (len(samples), min(samples), max(samples))
    assert figure.min <= figure.median <= figure.max
    assert figure.p99 in samples
    assert sum(sample <= figure.p99 for sample in samples) >= 0.99 * len(samples)
    rate = summarize(100, "rate", samples, {}, "1/s")
    assert rate.p99 in samples
    assert sum(sample >= rate.p99 for sample in samples) >= 0.99 * len(samples)


@pytest.mark.parametrize(
    ("median", "compared_with", "expected"),
    [
        pytest.param(9.9, {TARGET: 10.0}, True, id="below"),
        pytest.param(10.0, {TARGET: 10.0}, False, id="not below"),
        pytest.param(10.0, {"HAProxy's share": 20.0}, None, id="no target"),
    ],
)
def test_target_is_met_below_it(median: float, compared_with: dict[str, float], expected: bool | None) -> None:  # noqa: FBT001 - a table's column
    """The median counts, and only what is called a target is one."""
    assert summarize(1, "thing", [median], compared_with).meets_target is expected


def test_candidates_begin_where_ports_are_preferred_and_leave_out_ephemeral_ones() -> None:
    """Every unprivileged port once, less those that the kernel gives away."""
    ports = list(candidates(range(30_000, 40_001)))
    assert ports[0] == PREFERRED
    assert sorted(ports) == [*range(1024, 30_000), *range(40_001, 65_536)]


def test_free_ports_are_free_on_every_address() -> None:
    """A port that somebody has on one of the addresses is passed over."""
    (first,) = free_ports(1, ENDPOINT_ADDRESSES)
    with socket.create_server((ENDPOINT_ADDRESSES[1], first)):
        found = free_ports(3, ENDPOINT_ADDRESSES)
    assert first not in found
    assert len(set(found)) == 3
    assert not set(found) & set(ephemeral_ports())


def test_too_few_free_ports_are_told() -> None:
    """Where the kernel keeps nearly all ports to itself, the message has the numbers and a way out."""
    with pytest.raises(BenchFailed, match=r"needs 50 free ports and found \d+, .*\(1034-65535, .*--routes"):
        free_ports(50, ("127.0.0.1",), ephemeral=range(1_034, 65_536))


@pytest.mark.parametrize(
    "content", [pytest.param(None, id="absent"), pytest.param("32768\n", id="one"), pytest.param("a b", id="words")]
)
def test_unreadable_ephemeral_range_is_told(tmp_path: Path, content: str | None) -> None:
    """A kernel that does not tell its range, or not in two numbers, ends the benchmark with the file's name."""
    setting = tmp_path / "ip_local_port_range"
    if content is not None:
        setting.write_text(content)
    with pytest.raises(BenchFailed, match="ip_local_port_range"):
        ephemeral_ports(setting)


@pytest.fixture
def workload() -> Workload:
    """Thirty Routes, so that namespaces repeat, and a port for one more."""
    return Workload(30, tuple(range(20_000, 20_031)), 5_000, 5_001)


def test_every_route_is_admitted_with_three_endpoints(workload: Workload, tmp_path: Path) -> None:
    """The manifests are what the figures say: so many Routes, each served on its port by three endpoints."""
    workload.write_all(tmp_path / "manifests")
    loaded = load([tmp_path / "manifests"])
    assert loaded.problems == ()
    store = Store()
    store.put(*loaded.objects)
    outcome = Admission(inside.ADMISSION).update(store.objects, store.take()[0])
    sections = outcome.model.routes
    assert len(sections) == 30
    assert {len(section.backend.servers) for section in sections} == {3}
    ports = [section.frontend.port for section in sections if section.frontend is not None]
    assert sorted(ports) == list(workload.external_ports[:30])
    assert ports[-1] == workload.external_ports[workload.last]


def test_prepared_file_is_no_manifest_until_renamed(workload: Workload, tmp_path: Path) -> None:
    """A change is there all at once: its endpoints, on the other port, in the place of the former ones."""
    folder = tmp_path / "manifests"
    workload.write_all(folder)
    prepared, path = workload.prepare(folder, 3, moved=True)
    assert len(load([folder]).manifests) == 90
    assert _endpoint_ports(folder) == [5_000] * 30
    prepared.rename(path)
    assert len(load([folder]).manifests) == 90
    assert sorted(_endpoint_ports(folder)) == [*[5_000] * 29, 5_001]


def _endpoint_ports(folder: Path) -> list[int]:
    slices = [obj for obj in load([folder]).objects if isinstance(obj, EndpointSlice)]
    return [port.port for each in slices for port in each.ports or () if port.port is not None]


def test_own_share_gives_a_sample_per_run(workload: Workload, tmp_path: Path) -> None:
    """Each way of measuring our own share does what it times: a change that did not arrive would fail it."""
    workload.write_all(tmp_path / "manifests")
    settings = RenderSettings(state_dir=tmp_path, ip_mode="v4", bind_addresses=("127.0.0.1",))
    parsed, loaded = inside.parse_ms(tmp_path / "manifests", 2)
    cold, rendered = inside.cold_ms(loaded.objects, settings, 2)
    moved = inside.endpoint_moved_ms(loaded.objects, settings, 40)
    new = inside.new_route_ms(loaded.objects, workload, settings, 3)
    assert [len(samples) for samples in (parsed, cold, moved, new)] == [2, 2, 40, 3]
    assert rendered.config.count(b"\nfrontend ") == 30


def test_manifest_problem_ends_the_benchmark(workload: Workload, tmp_path: Path) -> None:
    """Figures of manifests that were not read would be too good."""
    workload.write_all(tmp_path / "manifests")
    (tmp_path / "manifests" / "broken.yaml").write_text("kind: [")
    with pytest.raises(BenchFailed, match=r"broken\.yaml"):
        inside.parse_ms(tmp_path / "manifests", 1)


def test_client_waits_for_the_right_service() -> None:
    """The client tells one service from the other, and from nobody."""
    one, two, nobody = free_ports(3, ENDPOINT_ADDRESSES)
    with Services({one: b"A", two: b"B"}):
        assert (answer(one), answer(two), answer(nobody)) == (b"A", b"B", b"")
        wait_for_answer(two, b"B", lambda: None, 5)
        with pytest.raises(BenchFailed, match=f"port {one} "):
            wait_for_answer(one, b"B", lambda: None, 0.02)
    assert answer(one) == b""


def test_waiting_ends_with_what_is_waited_for() -> None:
    """A router that ended is not waited for until the deadline."""

    def ended() -> None:
        raise BenchFailed("the router ended")

    (nobody,) = free_ports(1, ENDPOINT_ADDRESSES)
    with pytest.raises(BenchFailed, match="the router ended"):
        wait_for_answer(nobody, b"A", ended, 60)


def _figures() -> list[Figure]:
    return [
        summarize(5_000, "slow", [1234.5, 1300.0], {"HAProxy's share": 613.25}),
        summarize(1_000, "fast", [float(value) for value in range(1, 101)], {TARGET: 10.0}),
        summarize(1_000, "memory", [54.25], {}, "MiB"),
    ]


def test_table_has_a_block_for_each_size() -> None:
    """Sizes ascend, numbers have about three digits, and a missed target cannot be overlooked."""
    table = as_table(MACHINE, _figures(), 61.4)
    assert table.startswith("2 cores (some), Linux 6, Python 3.11.2, HAProxy 2.8.25, router 0.1.0, load before 0.50\n")
    blocks = table.split("\n\n")
    assert [block.splitlines()[0] for block in blocks[1:]] == ["1,000 Routes", "5,000 Routes", "measured in 61 s"]
    assert [line.split() for line in blocks[1].splitlines()[1:]] == [
        ["median", "p99", "min", "max", "unit", "runs", "beside", "it"],
        ["fast", "50.5", "99.0", "1.00", "100", "ms", "100", "target,", "below", "10.0:", "MISSED"],
        ["memory", "54.2", "54.2", "54.2", "54.2", "MiB", "1"],
    ]
    assert blocks[2].splitlines()[2].split()[1:5] == ["1,267", "1,300", "1,234", "1,300"]


def test_json_has_every_figure_unrounded() -> None:
    """What a program reads: machine, conditions, and each figure with its unit and what it is compared with."""
    values = json.loads(as_json(MACHINE, _figures(), 61.44))
    assert values["machine"]["cores"] == 2
    assert values["seconds"] == 61.4
    assert values["figures"][0] == {
        "routes": 5000, "name": "slow", "unit": "ms", "runs": 2, "median": 1267.25, "p99": 1300.0, "min": 1234.5,
        "max": 1300.0, "compared_with": {"HAProxy's share": 613.25}, "meets_target": None,
    }  # fmt: skip
    assert [figure["meets_target"] for figure in values["figures"]] == [None, False, None]
