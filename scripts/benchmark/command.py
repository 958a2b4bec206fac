"""The command: options, the temporary folder, and that nothing is left however it ends."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from types import FrameType

import click

from router.errors import RouterError
from router.haproxy.process.binary import find_binary
from scripts.benchmark.calibration import CORES
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import Figure
from scripts.benchmark.measure import ONLY_ASKED, PARTS, measure
from scripts.benchmark.output import IDEAL_API, REAL_API, as_json, as_table, this_machine

_ROUTES = (100, 1_000, 5_000)
_RUNS = 10
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _writable(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Find out now, not when everything has been measured."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}")
    return path


@click.command()
@click.argument("more_parts", metavar="[PART]...", type=click.Choice((*PARTS, *ONLY_ASKED)), nargs=-1)
@click.option(
    "--routes",
    "sizes",
    type=click.IntRange(1, 20_000),
    multiple=True,
    default=_ROUTES,
    show_default=True,
    help="How many Routes to measure with; repeatable.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, 1_000),
    default=_RUNS,
    show_default=True,
    help="Runs of each figure; those of a few milliseconds get ten times as many.",
)
@click.option(
    "--part",
    "parts",
    type=click.Choice((*PARTS, *ONLY_ASKED)),
    multiple=True,
    show_default="all but tls, size, backends and plane",
    help="What to measure: the parts by themselves, the router on manifests, on an API server, its changes without a reload,"
    " TCPRoutes of Gateways beside Routes, the API server itself, certificates, what grows with the size of a cluster,"
    " new backends without a reload, what connections cost; repeatable.",
)
@click.option(
    "--ideal-api",
    "is_ideal",
    is_flag=True,
    help="Have an API server without TLS that answers at once, with small objects, on which nothing else happens.",
)
@click.option(
    "--cores",
    type=click.IntRange(1),
    default=CORES,
    show_default=True,
    help="Keep everything on so many cores: the router, HAProxy, the API server, the pods and the client.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    callback=_writable,
    help="Write the figures as JSON to this file too.",
)
@click.option(
    "--haproxy", default=None, show_default="as the router finds it", help="The HAProxy binary, 2.8 or newer."
)
@click.option(
    "--beside",
    "beside_paths",
    multiple=True,
    show_default="none",
    help='With the part "backends": another HAProxy, whose figures stand beside in the same table; repeatable.',
)
def main(  # noqa: PLR0913, PLR0917 - its options
    sizes: tuple[int, ...],
    runs: int,
    parts: tuple[str, ...],
    more_parts: tuple[str, ...],
    is_ideal: bool,  # noqa: FBT001 - a flag of the command
    cores: int,
    json_path: Path | None,
    haproxy: str | None,
    beside_paths: tuple[str, ...],
) -> None:
    """Measure how long the router and its HAProxy take, from manifests or an API server to traffic.

    PART is another way to write --part: "scripts/bench runtime" measures changes without a reload, and nothing else.

    Prints a table on standard output, and what is being measured on standard error. docs/benchmarks.md says what each figure
    means. Everything happens on loopback addresses and in a temporary folder.
    """
    for number in _STOP_SIGNALS:
        # nohup(1) says that losing the terminal is no reason to end.
        if not (number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN):
            signal.signal(number, _interrupt)
    began_s = time.monotonic()
    figures: list[Figure] = []
    problem: Exception | None = None
    try:
        # Before anything starts: children stay on the same cores.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
        binary = find_binary(haproxy)
        beside = tuple(map(find_binary, beside_paths))
        machine = this_machine(binary)
        for routes in dict.fromkeys(sizes):
            # A short path, for the sockets in it.
            with tempfile.TemporaryDirectory(prefix="tcp-router-bench-") as directory:
                figures += measure(
                    routes,
                    runs,
                    (*parts, *more_parts) or PARTS,
                    binary,
                    Path(directory),
                    lambda text: click.echo(text, err=True),
                    is_ideal=is_ideal,
                    beside=beside,
                )
    except (BenchFailed, RouterError, OSError) as error:
        problem = error
    if figures:
        # Those of the sizes that were measured to their end, if one was not: they took long.
        seconds = time.monotonic() - began_s
        api = IDEAL_API if is_ideal else REAL_API
        click.echo(as_table(machine, figures, seconds, api))
        if json_path is not None:
            json_path.write_text(as_json(machine, figures, seconds, api))
    if problem is not None:
        raise click.ClickException(str(problem)) from problem


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """End what was started, in order; a second signal does not get in between."""
    for each in _STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.strsignal(number))
