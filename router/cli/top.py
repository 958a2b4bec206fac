"""``tcp-router top``: who uses a running router now."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
import msgspec

from router.cli.columns import columns, printable
from router.cli.exits import UNREACHABLE, clear_errors
from router.cli.options import option, with_options
from router.cli.rates import Reading, Use, human, uses
from router.cli.running import RunningOptions, Source, running, source
from router.cli.types import TimeType
from router.errors import ApiError, RouterUnreachable
from router.shapes import reader

if TYPE_CHECKING:
    from rich.table import Table

_HELP = """\
Show who uses a running router: connections, new connections a second and bytes a second by asker, until Ctrl-C.

Which router is asked, and as whom, as with tcp-router ports. Each replica has its own figures.

\b
Exit status:
  0  shown
  1  the router cannot be reached
  2  an option, or the kubeconfig, cannot be used
"""
_HEAD = ("PORT", "ASKER", "CONNECTIONS", "NEW/S", "IN", "OUT")
_LEAST_MS = 1000
_read = reader(list[Reading])


@click.command(help=_HELP)
@with_options(running("--address"))
@option("--interval", type=TimeType(), default="2s", help="How often the router is asked, 1s at least.")
@option(
    "--sort", type=click.Choice(["sessions", "connections", "bytes"]), default="bytes", help="What most of comes first."
)
@option(
    "--once", is_flag=True, help="Print one table after one interval, and end; as where standard output is no terminal."
)
@clear_errors
def top(interval: int, sort: str, *, once: bool, **values: Any) -> None:
    """Show what is used."""
    pause_s = max(interval, _LEAST_MS) / 1000
    try:
        router = source(click.get_current_context(), RunningOptions(**values))
        if once or not sys.stdout.isatty():
            click.echo(_text(_between(router, _now(router), pause_s, sort)[1]))
        else:
            _live(router, pause_s, sort)
    except (RouterUnreachable, ApiError) as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(UNREACHABLE) from error


def _now(router: Source) -> tuple[float, list[Reading]]:
    try:
        return time.monotonic(), _read(router.page("/ports"))
    except msgspec.DecodeError as error:
        raise RouterUnreachable(f"what listens at {router.name} is no router: {error}") from error


def _between(
    router: Source, before: tuple[float, list[Reading]], pause_s: float, sort: str
) -> tuple[tuple[float, list[Reading]], list[Use]]:
    """Wait, read again, and give the reading with what was used since the former one."""
    time.sleep(pause_s)
    after = _now(router)
    return after, uses(before[1], after[1], after[0] - before[0], sort)


def _rows(found: list[Use]) -> list[tuple[str, ...]]:
    return [
        (use.where, use.asker, str(use.sessions), f"{use.connections:.1f}", human(use.bytes_in), human(use.bytes_out))
        for use in found
    ]


def _text(found: list[Use]) -> str:
    return columns([_HEAD, *_rows(found)])


def _live(router: Source, pause_s: float, sort: str) -> None:
    # Not at the top: few commands draw.
    from rich.console import Console  # noqa: PLC0415 - the line above
    from rich.live import Live  # noqa: PLC0415

    console = Console(highlight=False)
    before = _now(router)
    # Whatever it is about when it is told to end.
    with (
        suppress(KeyboardInterrupt),
        Live(_table([], console.height), console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            try:
                before, found = _between(router, before, pause_s, sort)
            except (RouterUnreachable, ApiError) as error:
                # Goes on by itself when the router is back.
                live.update(printable(str(error)), refresh=True)
                continue
            live.update(_table(found, console.height), refresh=True)


def _table(found: list[Use], height: int) -> Table:
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(_HEAD):
        table.add_column(name, justify="left" if number < 2 else "right", no_wrap=True)  # noqa: PLR2004 - the last are numbers
    for row in _rows(found[: max(1, height - 2)]):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
