"""``tcp-router check``: a verdict for each Route of some manifests, for a pull request's CI."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from router.admission import Admission, Outcome
from router.admission.near_keys import LeftAlone, left_alone
from router.cli import check_gateways, port_policy
from router.cli.bases import common_bases
from router.cli.columns import columns, printable
from router.cli.exits import NOT_ALL_ADMITTED, UNUSABLE_INPUT, clear_errors
from router.cli.inputs import PATHS, load_objects
from router.cli.options import (
    ADMISSION,
    HAPROXY,
    HTTP,
    RENDER,
    option,
    with_options,
)
from router.cli.run_settings import ServingSettings
from router.errors import HaproxyError, TemplateError
from router.haproxy.process.binary import HaproxyBinary, find_binary
from router.haproxy.process.check import check_config
from router.model import ROUTE_KIND
from router.objects.kinds import ASKING
from router.objects.store import Objects
from router.observe.ports import PortRow, port_rows
from router.reconcile.judge import Accepted, Failed, Judge
from router.reconcile.presence import everywhere
from router.reconcile.set_aside import Asides, without
from router.reconcile.state_dir import StateDir
from router.render import Rendered, Renderer, TemplateSet
from router.settings import RenderSettings

_CHECK_DEADLINE_S = 120.0
_LONGEST_SCRATCH = 50
"""Characters of a temporary folder's path with which the path of the socket in it is not too long for one."""
_HELP = """\
Judge the Routes, and whoever else asks for a port (Services, TransportServerClaims, TransportServers), in PATHS (files, folders, or - for standard input) as the router would, and let HAProxy check the result.

Prints one line per Route, and per port of a Service, of this router with its verdict and, where it is rejected, the reason and a message; and below them which
it left alone, though they look as if they were for a router of this kind, and why (with JSON, on standard error). Give the options
that the router has: they decide what it admits.

\b
Exit status:
  0  all are admitted
  1  some are not; or one asks for a port and names no router; or none is for this router, but some for others of its kind
  2  a manifest or an option cannot be used
"""


@click.command(help=_HELP)
@click.argument("paths", nargs=-1, required=True, type=PATHS)
@option(
    "--output", type=click.Choice(["table", "json"]), default="table", help="A line per Route, or an array of objects."
)
@with_options((HAPROXY,), ADMISSION, RENDER, HTTP)
@clear_errors
def check(paths: tuple[Path, ...], output: str, haproxy: str | None, **values: Any) -> None:
    """Print a verdict for each Route."""
    options = ServingSettings(**values)
    objects, problems = load_objects(paths, options.tls_files().first(), *port_policy.load(options))
    admission = options.admission()
    outcome = Admission(admission).update(objects, objects.everything())
    binary = find_binary(haproxy)
    with tempfile.TemporaryDirectory(prefix="tcp-router-check-", dir=_scratch()) as directory:
        bases = common_bases(binary, admission.defaults)
        settings = replace(options.render(), state_dir=Path(directory), bases=bases)
        outcome = _judged(outcome, TemplateSet.load(options.template_dir), settings, binary)
    rows = port_rows(outcome.verdicts, outcome.model, now_s=time.time(), sni_port=options.sni_port)
    click.echo(
        json.dumps(msgspec.to_builtins(rows), indent=2) if output == "json" else _table(rows, options.router_name)
    )
    alone = _left_alone(objects, outcome, options.router_name)
    for name, each in alone.items():
        click.echo(printable(f"left alone: {name}: {each.reason}"), err=output == "json")
    told = check_gateways.told(outcome)
    for line in check_gateways.lines(objects, outcome, serves=options.serves_gateways):
        click.echo(printable(line), err=output == "json")
    for key, claim in sorted(objects.claims.items()):
        if claim.spec.ledger != options.ledger_name:
            said = f"its ledger is {claim.spec.ledger}, and this router's {options.ledger_name}"
            click.echo(printable(f"passed over: PortClaim {key.name}: {said}"), err=output == "json")
    if problems:
        raise SystemExit(UNUSABLE_INPUT)
    nobodys = any(each.names_router is None for each in alone.values())
    if told or nobodys or (alone and not rows) or any(row.verdict != "admitted" for row in rows):
        raise SystemExit(NOT_ALL_ADMITTED)


def _left_alone(objects: Objects, outcome: Outcome, router_name: str) -> dict[str, LeftAlone]:
    """Give the objects that are for a router of this kind, and not for this one; those of HTTP routers give no sign of it."""
    ours = {(asker.kind, asker.key) for asker in outcome.verdicts}
    others = {
        str(key) if kind == ROUTE_KIND else f"{kind} {key}": left_alone(each, router_name)
        for kind, struct in ASKING.items()
        for key, each in objects.of(struct).items()
        if (kind, key) not in ours
    }
    return {name: reason for name, reason in sorted(others.items()) if reason is not None}


def _scratch() -> str | None:
    """Give the folder for temporary files: TMPDIR's, unless paths below it would be none for a socket."""
    usual = tempfile.gettempdir()
    return None if len(usual) <= _LONGEST_SCRATCH and not set("$,") & set(usual) else "/tmp"  # noqa: S108 - the name below it is random


def _judged(outcome: Outcome, templates: TemplateSet, settings: RenderSettings, binary: HaproxyBinary) -> Outcome:
    """Give the outcome less what HAProxy refuses."""
    state = StateDir(settings.state_dir)
    state.open()
    judge = Judge(lambda config: check_config(binary, config, _CHECK_DEADLINE_S), state)
    renderer = Renderer(templates, settings)
    refused = Asides({}, {})
    presence = everywhere(settings.addresses)
    _raise_what_fails_for_all(renderer.render(presence.fit(outcome.model)))
    try:
        while True:
            left = without(outcome, refused)
            judged = judge.judge(renderer, presence.fit(left.model))
            if isinstance(judged, Accepted):
                return left
            if isinstance(judged, Failed):
                raise HaproxyError(judged.problem)
            refused = Asides({**refused.routes, **judged.refusals.routes}, {**refused.ports, **judged.refusals.ports})
    finally:
        state.close()


def _raise_what_fails_for_all(rendered: Rendered) -> None:
    """Raise the template's own fault, such as a name that there is not, once: no Route has a part in it."""
    by_template: dict[str, list[TemplateError]] = {}
    for failure in rendered.failures:
        by_template.setdefault(type(failure.owner).__name__, []).append(failure.error)
    of_kind = Counter(type(part.owner).__name__ for part in rendered.parts)
    for kind, errors in by_template.items():
        if len(errors) == of_kind[kind] and len({str(error) for error in errors}) == 1:
            raise errors[0]


def _table(rows: list[PortRow], router_name: str) -> str:
    if not rows:
        return f"no Route is for the router {router_name!r}, nor a Service (annotation haproxy.router.openshift.io/router-name)"
    lines = [("NAMESPACE", "NAME", "PORT", "HOST", "VERDICT", "REASON", "MESSAGE")]
    for row in rows:
        said = "; ".join(filter(None, (row.message, *row.warnings)))
        where = f" on {row.external_address}" if row.external_address else ""
        # On a cluster the PortClaim decides which port is given.
        port = f"{row.port or '-'}{where}{' (auto)' if row.auto and row.port else ''}"
        name = row.name if row.kind == ROUTE_KIND else " ".join(filter(None, (row.kind, row.name, row.section)))
        lines.append((row.namespace, name, port, row.host or "-", row.verdict, row.reason or "-", said))
    return columns(lines)
