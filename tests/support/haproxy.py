"""A real HAProxy on a rendered configuration, without the router's own control of it."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.haproxy.process.binary import find_binary
from router.haproxy.talk.server_states import NOTHING_DOWN
from router.model import Model
from router.render import Rendered, Renderer, TemplateSet
from router.render.files import hello_script
from router.settings import RenderSettings
from tests.support.models import port_options, section, server
from tests.support.ports import free_port
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for


def write(rendered: Rendered, settings: RenderSettings) -> Path:
    """Write a configuration and its files below ``settings.state_dir``; give the path of haproxy.cfg."""
    settings.maps_dir.mkdir(parents=True, exist_ok=True)
    settings.stats_socket.parent.mkdir(parents=True, exist_ok=True)
    for name, content in rendered.files.items():
        (settings.maps_dir / name).write_bytes(content)
    settings.server_state_file.write_bytes(NOTHING_DOWN)
    path = settings.state_dir / "haproxy.cfg"
    path.write_bytes(rendered.config)
    return path


def make_what_it_names(config: str) -> list[str]:
    """Make the files that a printed configuration names, empty maps among them; give the paths of those."""
    maps = re.findall(r"map_str(?:_int)?\((\S+?)\)", config)
    (script,) = re.findall(r"lua-load-per-thread (\S+)", config)
    (states,) = re.findall(r"server-state-file (\S+)", config)
    contents = {**dict.fromkeys(maps, b""), script: hello_script()[1], states: NOTHING_DOWN}
    for path, content in contents.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)
    return maps


def complaints(config: Path) -> str:
    """Let HAProxy check a configuration; give what it complained of, warnings too, or the empty text."""
    checked = subprocess.run(
        [find_binary(None).path, "-c", "-f", config], capture_output=True, text=True, timeout=60, check=False
    )
    said = (checked.stdout + checked.stderr).replace("Configuration file is valid\n", "")
    return said or ("" if checked.returncode == 0 else f"exit code {checked.returncode}")


@dataclass(frozen=True, slots=True)
class RunningHaproxy:
    """One HAProxy process without master."""

    settings: RenderSettings
    output: Path

    def ask(self, command: str) -> str:
        """Give the answer to a command on the stats socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.settings.stats_socket))
            connection.sendall(f"{command}\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        return answer.decode()

    def log_lines(self) -> list[str]:
        """Give the lines that it logged so far."""
        return self.output.read_text().splitlines()

    def log_line(self, part: str) -> str:
        """Wait for a line with ``part`` in it, and give it."""
        found = wait_for(lambda: [line for line in self.log_lines() if part in line], f"a log line with {part}")
        return found[0]


@contextlib.contextmanager
def running(model: Model, settings: RenderSettings, templates: TemplateSet | None = None) -> Iterator[RunningHaproxy]:
    """Render a model with the packaged templates and run HAProxy on it; ended when left."""
    rendered = Renderer(templates or TemplateSet.load(), settings).render(model)
    assert rendered.failures == ()
    config = write(rendered, settings)
    assert complaints(config) == ""
    output = settings.state_dir / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [find_binary(None).path, "-db", "-f", config],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    haproxy = RunningHaproxy(settings, output)
    try:
        wait_for(lambda: process.poll() is not None or haproxy.ask("show info"), "HAProxy to answer")
        assert process.poll() is None, output.read_text()
        yield haproxy
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def one_route(
    settings: RenderSettings, pod: TcpServer, options: dict[str, Any] | None = None, **of_backend: Any
) -> Iterator[tuple[int, RunningHaproxy]]:
    """Run HAProxy with one Route to one pod, without health checks unless told otherwise."""
    port = free_port()
    values = {"check_interval_ms": 0, **of_backend}
    route = section("db", port, server(pod.port, pod.address), options=port_options(**(options or {})), **values)
    with running(Model((route,)), settings) as haproxy:
        yield port, haproxy
