"""``python -m scripts.replacement_run``, which ``scripts/replacement`` runs."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click

from tests.support.commands import write_manifests
from tests.support.generation import AS_ANOTHER_USER, Generation
from tests.support.network import migrate_requests, own_network
from tests.support.objects import app
from tests.support.ports import free_ports
from tests.support.probing import is_refused
from tests.support.servers import echo_server
from tests.support.waiting import wait_for

_BUSY_S = 1.0
"""How long clients connect before a replacement, and after it."""


@click.command()
@click.option("--times", default=20, show_default=True, help="How often a router is replaced.")
@click.option("--clients", default=4, show_default=True, help="Processes that connect without a pause.")
@click.option("--routes", default=20, show_default=True, help="Routes, with a port each.")
@click.option("--migrate/--no-migrate", default=False, help="Set net.ipv4.tcp_migrate_req to 1.")
@click.option(
    "--other-user", is_flag=True, help="Each has another user than the one before: measure how long no port is open."
)
def main(*, times: int, clients: int, routes: int, migrate: bool, other_user: bool) -> None:
    """Replace a router by one beside it, again and again, in a network of its own; needs root."""
    with own_network(), tempfile.TemporaryDirectory(prefix="tcp-router-") as folder, contextlib.ExitStack() as stack:
        migrate_requests(on=migrate)
        directory = Path(folder)
        pod = stack.enter_context(echo_server())
        http, *ports = free_ports(routes + 1)
        objects = [each for n, port in enumerate(ports) for each in app(f"a{n}", port, (pod.address, pod.port))]
        manifests = write_manifests(directory / "manifests", *objects)

        def generation(number: int) -> Generation:
            launcher = AS_ANOTHER_USER if other_user and number % 2 else ()
            made = Generation(directory / f"g{number}", manifests, http, launcher=launcher)
            stack.callback(made.end)
            return made.start()

        if other_user:
            _gaps(times, ports[0], generation)
        else:
            _losses(times, ports, clients, generation)


def _losses(times: int, ports: list[int], clients: int, generation: Callable[[int], Generation]) -> None:
    """Count what becomes of connections."""
    command = [sys.executable, "-m", "scripts.replacement_run.client", *map(str, ports)]
    became: Counter[str] = Counter()
    old = generation(0)
    for number in range(1, times + 1):
        with contextlib.ExitStack() as stack:
            running = []
            for _ in range(clients):
                running.append(subprocess.Popen(command, stdout=subprocess.PIPE))  # noqa: S603 - our own
                # Whatever happens here; afterwards it has ended.
                stack.callback(running[-1].kill)
            time.sleep(_BUSY_S)
            new = generation(number)
            old.tell_to_end()
            old.close_ports()
            time.sleep(_BUSY_S)
            for each in running:
                each.terminate()
            for each in running:
                became.update(json.loads(each.communicate()[0]))
        old.wait_ended()
        old = new
        click.echo(f"{number} replacements: {dict(became)}", err=True)
    lost = became.total() - became["served"]
    click.echo(f"{times} replacements, {became.total()} connections, {lost} lost: {dict(became)}")


def _gaps(times: int, port: int, generation: Callable[[int], Generation]) -> None:
    """Measure for how long nobody answers, where the ports cannot be shared."""
    gaps_ms = []
    old = generation(0)
    for number in range(1, times + 1):
        new = generation(number)
        old.tell_to_end()
        ending = threading.Thread(target=old.close_ports)
        ending.start()
        wait_for(lambda: is_refused(port), "the port to be closed")
        closed_s = time.monotonic()
        wait_for(lambda: not is_refused(port), "the port to be open")
        gaps_ms.append((time.monotonic() - closed_s) * 1000)
        ending.join()
        old.wait_ended()
        old = new
    click.echo(f"{times} replacements: median {statistics.median(gaps_ms):.0f} ms, most {max(gaps_ms):.0f} ms")


if __name__ == "__main__":
    main()
