"""The benchmark as a user starts it, at a size that takes a moment: its shape and its end, never its times."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.haproxy.process.binary import find_binary
from scripts.benchmark.backends import DELETED, HOST_NEW, HOST_RELOADS, LEFT, OTHERWISE, OTHERWISE_RELOADS
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "scripts.benchmark")
IN_PARTS = [
    "parse",
    "own share, cold",
    "own share, endpoint moved",
    "own share, new Route",
    "haproxy -c",
    "reload",
]
AS_A_WHOLE = [
    "start to traffic",
    "memory of the router",
    "its peak",
    "file to traffic, endpoints moved",
    "file to traffic, new Route",
    "the router's reload, new Route",
]
FROM_API = [
    "start to synced, from an API server",
    "start to traffic, from an API server",
    "memory of the router, from an API server",
    "its peak, from an API server",
    "API to traffic, endpoints moved",
    "API to traffic, new Route",
    "the router's reload, new Route, API",
]
WITHOUT_SHARE = {
    "start to synced, from an API server",
    "file to traffic, endpoints moved",
    "API to traffic, endpoints moved",
}
WITH_RELOADS = [*IN_PARTS, *AS_A_WHOLE, *FROM_API]
BACKENDS = {HOST_NEW, HOST_RELOADS, OTHERWISE, OTHERWISE_RELOADS, DELETED, LEFT}
SIZE = [
    "start to last port",
    "memory of the router",
    "endpoint moved to first byte",
    "memory of the router after changes",
    "reload with a pool, as the router logs it",
    "hosts on one port: start to last host",
    "hosts on one port: new host to first byte",
    "hosts on one port: reloads by new hosts",
    "certificates on one port: start to last host",
    "endpoint moved, one namespace has all",
    "endpoint changed, of a Service with many, to HAProxy's reply",
    "changes: memory",
    "changes: files",
    "changes: threads",
    "changes: sections",
    "changes: servers",
]
PLANE_RATIOS = (
    "connections per second and core",
    "connections per second",
    "round trip of 64 bytes",
    "throughput",
)
PLANE = (
    "HAProxy's CPU for a connection",
    *PLANE_RATIOS,
    "HAProxy's CPU for a round trip",
    "HAProxy's CPU for a GiB",
)
RUNTIME = {
    "start to last port, with a pool": "ms",
    "memory of the router, with a pool": "MiB",
    "endpoint moved to first byte": "ms",
    "new Route on a pool port to first byte": "ms",
    "new Route on a pool port to first byte, Service fetched": "ms",
    "deleted Route to refused": "ms",
    "Routes at once, pool holds them": "ms",
    "its reloads": "count",
    "100 changes/s: CPU of the router": "%",
    "100 changes/s: reloads": "count",
    "memory of the router after 100 changes/s": "MiB",
    "HAProxy restarted on its last configuration to last port": "ms",
    "100 changes/s: failed connections": "count",
    "8 held, 100 changes: HAProxy processes": "count",
    "8 held, 100 changes: connections alive": "count",
    "round trip of 64 bytes": "ms",
    "round trip of 64 bytes, ratio to a minimal HAProxy": "ratio",
    "connections per second": "1/s",
    "connections per second, ratio to a minimal HAProxy": "ratio",
    "throughput": "MiB/s",
    "throughput, ratio to a minimal HAProxy": "ratio",
    "new Route by reload to first byte, with a pool": "ms",
    "idle pool port open after a reload, pool of 100": "ms",
    "idle pool port open after a reload, pool of 10": "ms",
    "new Route by reload to first byte": "ms",
    "Routes at once, no pool": "ms",
    "its reloads, no pool": "count",
    "new Route with auto to first byte": "ms",
    "Routes with auto at once": "ms",
    "Routes with auto at once, from their last claim": "ms",
}
"""With one run, in which 100 Routes come at once."""
RUNTIME.update(
    (f"{change}: {stage}", "ms")
    for change in (
        "endpoint moved to first byte",
        "new Route on a pool port to first byte",
        "deleted Route to refused",
    )
    for stage in (
        "API server to its socket",
        "API server's socket to the router",
        "decode",
        "wake",
        "admission",
        "plan",
        "send",
        "reply",
        "reply to first byte",
    )
)
RUNTIME.update(
    (f"{change}, bare program{stage}", "ms")
    for change in (
        "endpoint moved to first byte",
        "new Route on a pool port to first byte",
        "deleted Route to refused",
    )
    for stage in (
        "",
        ": API server to its socket",
        ": API server's socket to the router",
        ": decode",
        ": send",
        ": reply",
        ": reply to first byte",
    )
)
RUNTIME.update(
    (f"one step: {step}", "ms")
    for step in (
        "HAProxy's reply, a connection for it",
        "HAProxy's reply, on a connection that is kept",
        "connect to first byte",
    )
)
FLOORS = {
    "HAProxy restarted on its last configuration to last port",
    "start to last port, with a pool",
    "endpoint moved to first byte",
    "new Route on a pool port to first byte",
    "new Route on a pool port to first byte, Service fetched",
    "deleted Route to refused",
    "Routes at once, pool holds them",
    "new Route by reload to first byte",
    "new Route by reload to first byte, with a pool",
    "idle pool port open after a reload, pool of 100",
}
"""Beside these stands what HAProxy needs by itself."""


_LONGEST_S = 280
"""It takes a minute where nobody else uses the machine."""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="bench ") as path:
        yield Path(path)


def _environment(temporary: Path) -> dict[str, str]:
    # A variable of the router's would change what is measured, so the benchmark's router must not see it.
    return {**os.environ, "TMPDIR": str(temporary), "ROUTER_MAX_CONNECTIONS": "no number"}


def _run(temporary: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST_S,
        cwd=ROOT,
        env=_environment(temporary),
    )


def test_every_figure_is_measured(tmp_path: Path, temporary: Path) -> None:
    """Two sizes: each figure of each stands in the table and in the JSON, and nothing is left in the temporary folder."""
    path = tmp_path / "figures.json"
    result = _run(
        temporary, "parts", "manifests", "api", "--routes", "5", "--routes", "3", "--runs", "2", "--json", str(path)
    )
    assert result.returncode == 0, result.stderr
    assert list(temporary.iterdir()) == []

    values = json.loads(path.read_text())
    assert set(values["machine"]) == {"cores", "cpu", "kernel", "python", "haproxy", "router", "load"}
    figures = values["figures"]
    expected = [(routes, name) for routes in (5, 3) for name in WITH_RELOADS]
    assert [(figure["routes"], figure["name"]) for figure in figures] == expected
    for figure in figures:
        assert figure["runs"] == (20 if figure["name"] in IN_PARTS[2:4] else 2)
        assert 0 < figure["min"] <= figure["median"] <= figure["max"]
        assert figure["unit"] == ("MiB" if "memory" in figure["name"] or "peak" in figure["name"] else "ms")
        assert ("HAProxy's share (reload)" in figure["compared_with"]) == (
            figure["name"] in {*AS_A_WHOLE, *FROM_API} - WITHOUT_SHARE and figure["unit"] == "ms"
        )

    lines = result.stdout.splitlines()
    assert "HAProxy 2." in lines[0] or "HAProxy 3." in lines[0]
    assert [line for line in lines if line.endswith(" Routes")] == ["3 Routes", "5 Routes"]
    assert [sum(line.startswith(f"  {name}  ") for line in lines) for name in WITH_RELOADS] == [2] * len(WITH_RELOADS)


@pytest.mark.timeout(_LONGEST_S + 20)
def test_every_figure_without_a_reload_is_measured(tmp_path: Path, temporary: Path) -> None:
    """One run: each figure with its unit, its target met or not, HAProxy's own beside it, and what must hold at any speed."""
    path = tmp_path / "figures.json"
    result = _run(temporary, "runtime", "--routes", "4", "--runs", "1", "--json", str(path))
    assert result.returncode == 0, result.stderr
    assert list(temporary.iterdir()) == []
    figures = {figure["name"]: figure for figure in json.loads(path.read_text())["figures"]}
    # Of four Routes the statuses are written before the first move, as a rule.
    figures.pop("endpoint moved to first byte, statuses written", None)
    assert {name: figure["unit"] for name, figure in figures.items()} == RUNTIME
    assert {name for name, figure in figures.items() if "HAProxy's own" in figure["compared_with"]} == FLOORS
    counts = {name: figure["median"] for name, figure in figures.items() if figure["unit"] == "count"}
    assert counts.pop("its reloads, no pool") >= 1
    assert counts == {
        "its reloads": 0,
        "100 changes/s: reloads": 0,
        "100 changes/s: failed connections": 0,
        "8 held, 100 changes: HAProxy processes": 2,
        "8 held, 100 changes: connections alive": 8,
    }


@pytest.mark.timeout(_LONGEST_S + 20)
def test_tcp_routes_are_measured_beside_routes(tmp_path: Path, temporary: Path) -> None:
    """Each change of both, with the Routes' figure beside it and as the target, and all statuses at a first start."""
    path = tmp_path / "figures.json"
    result = _run(temporary, "gateways", "--routes", "12", "--runs", "1", "--json", str(path))
    assert result.returncode == 0, result.stderr
    assert list(temporary.iterdir()) == []
    figures = {figure["name"]: figure for figure in json.loads(path.read_text())["figures"]}
    # Of few TCPRoutes the statuses are written before the first move, as a rule.
    figures.pop("Gateways: endpoint moved to first byte, statuses written", None)
    changes = ("endpoint moved to first byte", "new on a pool port to first byte", "deleted to refused")
    attached = "TCPRoutes beside Routes: new at a listener to first byte"
    # Also where listener and TCPRoute are written in one moment, beside a Route's of the ordinary kind.
    at_once = ", both written in one moment"
    compared = {f"TCPRoutes beside Routes: {each}" for each in changes} | {attached}
    compared |= {f"TCPRoutes beside Routes: {each}{at_once}" for each in changes[1:]}
    starts = {"Gateways: first start to last port": "ms", "Gateways: statuses a second, first start": "1/s"}
    assert {name: figure["unit"] for name, figure in figures.items()} == {
        **{f"Routes beside TCPRoutes: {each}": "ms" for each in changes},
        **dict.fromkeys(compared, "ms"),
        **starts,
    }
    for name in compared:
        beside = figures[name]["compared_with"]
        of_route = name.replace("TCPRoutes beside Routes", "Routes beside TCPRoutes")
        of_route = of_route.replace("new at a listener", "new on a pool port").removesuffix(at_once)
        assert beside["a Route's in turn"] == figures[of_route]["median"]
        assert beside["target, at most"] == pytest.approx(1.1 * figures[of_route]["median"])


def test_certificates_are_measured(temporary: Path) -> None:
    """Where that is asked for; in a folder whose name has a blank, too."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        result = _run(Path(folder), "tls", "--routes", "3", "--runs", "2")
        assert list(Path(folder).iterdir()) == []
    assert result.returncode == 0, result.stderr
    names = ("certificate checked", "haproxy -c, certificates", "reload, certificates", "certificate changed")
    asked = (
        "handshake on a port where nobody asks",
        "handshake on a port where others ask",
        "handshake after a question",
    )
    assert [
        name for name in (*names, "memory of HAProxy's worker, certificates", *asked) if name not in result.stdout
    ] == []
    with_blank = _run(temporary, "tls", "--routes", "3", "--runs", "2")
    assert with_blank.returncode == 0, with_blank.stderr


@pytest.mark.timeout(_LONGEST_S + 20)
def test_the_data_plane_is_measured(temporary: Path) -> None:
    """Where that is asked for: each kind of port by each figure, beside both HAProxies that are written by hand, and ratios to both."""
    figures_path = temporary / "figures.json"
    result = _run(temporary, "plane", "--routes", "4", "--runs", "1", "--json", str(figures_path))
    assert result.returncode == 0, result.stderr
    figures = {figure["name"]: figure for figure in json.loads(figures_path.read_text())["figures"]}
    beside = ("a minimal HAProxy", "a minimal HAProxy with log and keepalive")
    for kind in ("plain", "TLS ended", "PROXY protocol", "all Routes, checks on"):
        for name in PLANE:
            figure = figures.pop(f"{kind}: {name}")
            assert figure["runs"] == 4
            assert min(figure["min"], *(figure["compared_with"][each] for each in beside)) > 0
        for name in PLANE_RATIOS:
            for each in beside:
                assert figures.pop(f"{kind}: {name}, ratio to {each}")["meets_target"] is not None
    held = figures.pop("plain: memory of HAProxy for a held connection")
    assert held["compared_with"]["connections held"] > 100
    assert 2_000 < held["median"] < 10_000
    assert list(figures) == ["all Routes, checks on: HAProxy's CPU for checks"]


def test_size_is_measured(temporary: Path) -> None:
    """Where that is asked for: everything that belongs to a cluster of a size, with no section left of many changes and no reload for a new host."""
    figures_path = temporary / "figures.json"
    result = _run(temporary, "size", "--routes", "20", "--runs", "1", "--json", str(figures_path))
    assert result.returncode == 0, result.stderr
    figures = {figure["name"]: figure for figure in json.loads(figures_path.read_text())["figures"]}
    assert list(figures) == SIZE
    assert figures["hosts on one port: reloads by new hosts"]["median"] == 0
    # Servers are deleted when no connection remembers them, which takes as long as it takes.
    assert figures["changes: sections"]["median"] == figures["changes: sections"]["compared_with"]["before"]


@pytest.mark.timeout(300)
def test_new_backends_are_measured(temporary: Path) -> None:
    """Where that is asked for: one HAProxy beside another, each with how often it was loaded anew and what it has left."""
    binary = find_binary()
    figures_path = temporary / "figures.json"
    options = ("--routes", "2", "--runs", "2", "--beside", str(binary.path), "--json", str(figures_path))
    result = _run(temporary, "backends", *options)
    assert result.returncode == 0, result.stderr
    figures = {figure["name"]: figure for figure in json.loads(figures_path.read_text())["figures"]}
    assert BACKENDS - figures.keys() == (set() if binary.adds_backends else {DELETED})
    # Loaded anew for each, or for none.
    for name in (HOST_RELOADS, OTHERWISE_RELOADS):
        assert figures[name]["median"] == (0 if binary.adds_backends else 2)
        assert figures[name]["compared_with"] == {f"HAProxy {binary.build}": figures[name]["median"]}
    assert (figures[LEFT]["median"] == 0) is binary.adds_backends


def test_what_is_asked_for_is_measured(temporary: Path) -> None:
    """One part by itself: its figures and no others."""
    result = _run(temporary, "--routes", "1", "--runs", "2", "--part", "api")
    assert result.returncode == 0, result.stderr
    rows = [line for line in result.stdout.splitlines() if line.startswith("  ") and "  median" not in line]
    assert [line.split("  ")[1] for line in rows] == FROM_API


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
@pytest.mark.parametrize("at", ["reload", "start to traffic", "start to traffic, from an API server"])
def test_nothing_is_left_however_it_ends(temporary: Path, how: signal.Signals, at: str) -> None:
    """Ended in the middle, by a signal that comes again and again: no process is left over, and no file unless it was killed."""
    with (
        (temporary / "notes").open("wb") as notes,
        subprocess.Popen(
            [*COMMAND, "--routes", "3", "--runs", "40", *(("--part", "api") if "API" in at else ())],
            stdout=subprocess.DEVNULL,
            stderr=notes,
            cwd=ROOT,
            env=_environment(temporary),
        ) as process,
    ):
        try:
            wait_for(lambda: _is_at(temporary, at), f"the benchmark to measure {at}", 60)
            wait_for(lambda: _has_ended(process, how), "the benchmark to end", 30)
            assert process.returncode != 0
        finally:
            process.kill()
    wait_for(lambda: not _processes_below(temporary), "every process to be gone")
    if how != signal.SIGKILL:
        assert [path.name for path in temporary.iterdir()] == ["notes"]


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        pytest.param(("--haproxy", "no-such-haproxy"), 1, "no-such-haproxy", id="no HAProxy"),
        pytest.param(("--json", "no-such-folder/figures.json"), 2, "no-such-folder", id="no folder"),
        pytest.param(("--part", "whole"), 2, "--part", id="no such part"),
        pytest.param(("--routes", "0"), 2, "--routes", id="no Routes"),
        pytest.param(("size", "--routes", "19"), 1, "at least 20 Routes", id="too few Routes for a size"),
    ],
)
def test_what_cannot_be_is_said(temporary: Path, options: tuple[str, ...], status: int, said: str) -> None:
    """An option that cannot be used ends it at once, with a message."""
    result = _run(temporary, *options)
    assert result.returncode == status
    assert said in result.stderr
    assert result.stdout == ""


def _is_at(temporary: Path, name: str) -> bool:
    notes = (temporary / "notes").read_text().splitlines()
    # The first of these figures is of a HAProxy that the benchmark starts, the others of a router that does.
    return notes[-1:] == [f"3 Routes: {name}"] and bool(_processes_below(temporary))


def _has_ended(process: subprocess.Popen[bytes], how: signal.Signals) -> bool:
    process.send_signal(how)
    return process.poll() is not None


def _processes_below(directory: Path) -> list[int]:
    """Give the processes, the benchmark's own apart, that have a path in this folder on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in arguments:
            found.append(int(entry.name))
    return found
