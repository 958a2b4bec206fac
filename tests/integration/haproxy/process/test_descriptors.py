"""The count of open files, compared with what the real HAProxy counts."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from router.admission.pool import PortPool
from router.errors import HaproxyStartFailed
from router.haproxy.process import bootstrap, descriptors
from router.haproxy.process.binary import HaproxyBinary, find_binary
from router.haproxy.process.descriptors import Haproxy
from router.haproxy.process.files_limit import own_limit, read_limit
from router.haproxy.process.files_needed import files_needed
from router.haproxy.process.process import HaproxyProcess
from router.haproxy.talk import master
from router.haproxy.talk.cli_socket import command
from router.model import Model, RouteSection
from router.render import Renderer, TemplateSet
from router.render.listen import listen_addresses
from router.settings import PortRanges, RenderSettings, RouteDefaults
from tests.support.haproxy import write
from tests.support.models import section, server, shared
from tests.support.ports import free_port

DEADLINE_S = 30.0
_FEW_FILES = Path(__file__).parents[3] / "support" / "few_files.py"
_BOTH = ("127.0.0.1", "127.0.0.2")


def _route(name: str, servers: int, check_interval_ms: int = 3_600_000) -> RouteSection:
    """Make a Route with a port and so many servers that are checked, rarely."""
    addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(servers)]
    pods = (server(1, address) for address in addresses)
    return section(name, free_port(), *pods, check_interval_ms=check_interval_ms)


@dataclass(frozen=True, slots=True)
class Started:
    """A HAProxy that is started with a limit of open files."""

    binary: HaproxyBinary
    settings: RenderSettings
    model: Model

    def start(self, limit: int, launchers: Path) -> int:
        """Start it, and give the files that it says one worker needs; HaproxyStartFailed if it does not start."""
        launcher = launchers / "haproxy"
        launcher.write_text(f'#!/bin/sh\nexec {sys.executable} {_FEW_FILES} {limit} {self.binary.path} "$@"\n')
        launcher.chmod(0o755)
        config = write(Renderer(TemplateSet.load(), self.settings).render(self.model), self.settings)
        process = _process(replace(self.binary, path=launcher), config, self.settings)
        try:
            process.start(DEADLINE_S)
            return _ulimit(self.settings)
        finally:
            _end(process)


def _process(binary: HaproxyBinary, config: Path, settings: RenderSettings) -> HaproxyProcess:
    return HaproxyProcess(
        binary,
        config,
        master_socket=settings.master_socket,
        stats_socket=settings.stats_socket,
        on_line=lambda _line: None,
        on_exit=lambda _code: None,
    )


def _end(process: HaproxyProcess) -> None:
    hurry = threading.Event()
    hurry.set()
    process.stop(0, hurry)


def _ulimit(settings: RenderSettings) -> int:
    answer = command(settings.stats_socket, "show info", DEADLINE_S)
    return int(dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)["Ulimit-n"])


def _cases() -> Iterator[tuple[str, RenderSettings, Model]]:
    base = RenderSettings(bind_addresses=_BOTH[:1], maxconn=500, nbthread=2)
    yield "nothing", base, Model()
    yield "checked servers", base, Model((_route("a", 20), _route("b", 3), _route("c", 7, check_interval_ms=0)))
    yield "two addresses", replace(base, bind_addresses=_BOTH), Model((_route("a", 2), _route("b", 0)))
    yield "other threads", replace(base, nbthread=5), Model((_route("a", 2),))
    yield "connections", replace(base, maxconn=4_321), Model((_route("a", 2),))
    behind = section("web", None, server(1))
    yield "a shared port", base, Model((behind,), (shared(free_port(), {"web.example.com": behind}),))
    low = free_port()
    pool = PortPool(PortRanges.of(low), 4, RouteDefaults()).sections(Model())
    yield "a pool", base, Model((_route("a", 2),), (), pool)
    yield "haproxy's choice of connections", replace(base, maxconn=None), Model((_route("a", 400), _route("b", 100)))


_CASES = {name: (settings, model) for name, settings, model in _cases()}


def _needed(binary: HaproxyBinary, settings: RenderSettings, model: Model, workers: int = 0) -> int:
    haproxy = Haproxy(
        version=binary.version,
        threads=settings.nbthread or 1,
        binds_per_port=len(listen_addresses(settings)),
        max_connections=settings.maxconn or descriptors.LEAST_CONNECTIONS,
        limit=0,
        workers=workers,
    )
    return descriptors.wanted(haproxy, descriptors.counts(model, model.pool))


@pytest.mark.parametrize("name", _CASES)
def test_the_count_is_haproxys_own(state_dir: Path, tmp_path: Path, name: str) -> None:
    """With just as many files as we say it starts, and says the same number; with one fewer it does not start."""
    settings, model = _CASES[name]
    haproxy = Started(find_binary(), replace(settings, state_dir=state_dir), model)
    count = _needed(haproxy.binary, settings, model)
    # Where it chooses, it takes an even number for connections.
    assert haproxy.start(count, tmp_path) == count
    with pytest.raises(HaproxyStartFailed) as refused:
        haproxy.start(count - 1, tmp_path)
    assert "Cannot raise FD limit" in refused.value.log


def test_a_reload_needs_a_line_to_each_worker_that_lives(state_dir: Path) -> None:
    """And nothing else of what the former workers have: the limit is of a process."""
    settings, model = _CASES["checked servers"]
    settings = replace(settings, state_dir=state_dir)
    binary = find_binary()
    config = write(Renderer(TemplateSet.load(), settings).render(model), settings)
    with contextlib.ExitStack() as stack:
        process = _process(binary, config, settings)
        stack.callback(_end, process)
        process.start(DEADLINE_S)
        for workers in range(1, 4):
            # Who asks at its socket keeps a worker.
            held = stack.enter_context(socket.socket(socket.AF_UNIX))
            held.connect(str(settings.stats_socket))
            held.sendall(b"prompt\n")
            assert held.recv(16)
            assert master.reload(settings.master_socket, DEADLINE_S).success
            assert _ulimit(settings) == _needed(binary, settings, model, workers)


def test_haproxy_chooses_connections_where_those_asked_for_do_not_fit(state_dir: Path, tmp_path: Path) -> None:
    """A model that does without --max-connections starts with fewer files, and is right about the least that it takes."""
    settings, model = _CASES["connections"]
    settings = replace(settings, state_dir=state_dir)
    haproxy = Haproxy(version=find_binary().version, threads=2, binds_per_port=1, max_connections=4_321, limit=2_000)
    counts = descriptors.counts(model, ())
    saved = descriptors.saved(haproxy, counts, frozenset())
    started = Started(find_binary(), settings, replace(model, saved=saved))
    assert started.start(haproxy.limit, tmp_path) <= haproxy.limit
    assert "maxconn 4321" not in (state_dir / "haproxy.cfg").read_text()
    with pytest.raises(HaproxyStartFailed):
        replace(started, model=model).start(haproxy.limit, tmp_path)


def test_the_limit_is_that_of_the_process() -> None:
    """Our hard limit, unless a HAProxy of ours may raise it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limited = subprocess.run(
        [
            sys.executable, str(_FEW_FILES), "500",
            sys.executable, "-c", "from router.haproxy.process.files_limit import own_limit; print(own_limit())",
        ],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert limited.stdout == "500\n"
    assert own_limit() >= hard if os.geteuid() == 0 else own_limit() == hard


@pytest.mark.parametrize("name", _CASES)
def test_the_count_is_read_off_a_configuration(state_dir: Path, name: str) -> None:
    """A HAProxy that starts by itself knows before whether the configuration that it finds has too much for its limit."""
    settings, model = _CASES[name]
    text = Renderer(TemplateSet.load(), replace(settings, state_dir=state_dir)).render(model).config.decode()
    assert files_needed(text, find_binary()) == _needed(find_binary(), settings, model)


def test_a_kept_configuration_that_does_not_fit_is_put_aside(state_dir: Path) -> None:
    """A container that came back with fewer files starts, with its sockets alone, and the router does without something."""
    settings, model = _CASES["haproxy's choice of connections"]
    settings = replace(settings, state_dir=state_dir)
    config = write(Renderer(TemplateSet.load(), settings).render(model), settings)
    code = (
        "import sys; from pathlib import Path; from router.haproxy.process import bootstrap; from router.haproxy.process.binary import find_binary; "
        "from router.settings import RenderSettings; state = Path(sys.argv[1]); "
        "print(bootstrap.prepare(find_binary(), state / 'haproxy.cfg', RenderSettings(state_dir=state), 30))"
    )
    kept = []
    for limit in (2_000, 700):
        command_line = [sys.executable, str(_FEW_FILES), str(limit), sys.executable, "-c", code, str(state_dir)]
        done = subprocess.run(command_line, capture_output=True, text=True, check=True, timeout=60)
        kept.append(done.stdout.splitlines()[-1])
        assert read_limit(settings.files_limit_file) == limit
    assert kept == ["True", "False"]
    assert (state_dir / "haproxy.cfg.refused").exists()
    assert config.read_bytes() == bootstrap.small_config(settings.stats_socket)
