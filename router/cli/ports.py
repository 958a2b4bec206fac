"""``tcp-router ports``: the table of ports of a running router."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import click
import msgspec

from router.cli.columns import columns, printable
from router.cli.exits import UNREACHABLE, clear_errors
from router.cli.options import option, with_options
from router.cli.running import RunningOptions, running, source
from router.errors import ApiError, RouterUnreachable
from router.shapes import converter, reader

_HELP = """\
Print the ports of a running router: which Route has which, whether it is admitted, and how much it is used; below that, why Routes are
rejected, and warnings.

Asks the router at --address; or, where one of --kubeconfig, --context, --namespace, --deployment and --port is given, the
first ready pod of its Deployment, by a port-forward through the API server. A router with --metrics-auth kubernetes is shown
the token of --token-file, else by a port-forward the kubeconfig's; its bearer must have the right to read metrics.

SESSIONS are the connections that are open now in that one router; each replica has its own.

\b
Exit status:
  0  printed
  1  the router cannot be reached, or is not ready; what it has is printed all the same
  2  an option, or the kubeconfig, cannot be used
"""


class _Row(msgspec.Struct, frozen=True):
    """What the table shows of an object of ``/ports`` (docs/settings.md); older routers lack some."""

    namespace: str
    name: str
    port: int | None
    host: str | None
    verdict: str
    reason: str | None
    servers: tuple[Any, ...]
    sessions: int | None = None
    servers_up: int | None = None
    message: str = ""
    warnings: tuple[str, ...] = ()
    kind: str = "Route"
    section: str | None = None
    external_address: str | None = None

    @property
    def asker(self) -> str:
        """Who it is: namespace and name, and what it is where it is no Route."""
        name = f"{self.namespace}/{self.name}"
        return name if self.kind == "Route" else " ".join(filter(None, (self.kind, name, self.section)))


_read_objects = reader(list[dict[str, Any]])
_row = converter(_Row)


@click.command(help=_HELP)
@with_options(running("--address"))
@option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="A line per Route, or the array of objects that /ports gives.",
)
@clear_errors
def ports(output: str, **values: Any) -> None:
    """Print the table of ports."""
    try:
        asked = source(click.get_current_context(), RunningOptions(**values))
        rows, objects = _read(asked.name, asked.page("/ports"))
        ready, why = asked.ask("/readyz")
    except (RouterUnreachable, ApiError) as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(UNREACHABLE) from error
    click.echo(json.dumps(objects, indent=2) if output == "json" else _table(rows))
    if ready != HTTPStatus.OK:
        said = "; ".join(why.decode(errors="replace").split("\n")).strip("; ")
        click.echo(f"Warning: the router at {asked.name} is not ready: {said}", err=True)
        raise SystemExit(UNREACHABLE)


def _read(name: str, body: bytes) -> tuple[list[_Row], list[dict[str, Any]]]:
    """Give rows and objects, sorted as the router sorts them: by port, those without one last, then namespace and name."""
    try:
        objects = _read_objects(body)
        pairs = [(_row(each), each) for each in objects]
    except msgspec.DecodeError as error:
        raise RouterUnreachable(f"what listens at {name} is no router: {error}") from error
    pairs.sort(key=lambda pair: (pair[0].port is None, pair[0].port or 0, pair[0].namespace, pair[0].name))
    return [row for row, _ in pairs], [each for _, each in pairs]


def _table(rows: list[_Row]) -> str:
    if not rows:
        return "the router has no Route of its own yet"
    lines = [("PORT", "HOST", "ROUTE", "VERDICT", "REASON", "SERVERS", "SESSIONS")]
    for row in rows:
        sessions = "-" if row.sessions is None else str(row.sessions)
        port = f"{row.port or '-'} on {row.external_address}" if row.external_address else str(row.port or "-")
        lines.append((port, row.host or "-", row.asker, row.verdict, row.reason or "-", _servers(row), sessions))
    table = columns(lines)
    # A line each: next to each other with the table they would not fit on any screen.
    said = [
        printable(f"{row.asker}: {kind}{text}")
        for row in rows
        for kind, text in (("", row.message), *(("warning: ", warning) for warning in row.warnings))
        if text
    ]
    return "\n".join((table, "", *said) if said else (table,))


def _servers(row: _Row) -> str:
    """Give how many servers there are, and before that how many of them are up, if that is known."""
    return str(len(row.servers)) if row.servers_up is None else f"{row.servers_up}/{len(row.servers)}"
