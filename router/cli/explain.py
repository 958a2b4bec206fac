"""``tcp-router explain``: the way of one asker, from its annotations to its pods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec
from click.shell_completion import CompletionItem

from router.admission import Admission
from router.cli import port_policy
from router.cli.columns import printable
from router.cli.exits import UNREACHABLE, UNUSABLE_INPUT, clear_errors
from router.cli.inputs import PATHS, load_objects
from router.cli.metrics import EXPLAIN, PROBE
from router.cli.options import ADMISSION, HTTP, RENDER, option, with_options
from router.cli.run_settings import ServingSettings
from router.cli.running import RunningOptions, running, source
from router.errors import ApiError, RouterUnreachable, SettingsError
from router.observe.explanation import Explanation, Facts, Wanted, tree
from router.observe.explanation import explain as explained
from router.shapes import reader

NOT_SERVED = 1
UNKNOWN = 2
_HELP = """\
Explain why ASKER is served or not: each step of its way, from its annotations to its pods, and what to do.

ASKER is [KIND/]NAMESPACE/NAME[:PORT], such as shop/db (a Route, or else a Service), or service/shop/db:pg. Without --manifests a running router is asked,
the one at --router or that of a Deployment, as for tcp-router ports. With --manifests it is judged what a router with the
options below would do; without HAProxy, whose health checks are not known then.

\b
Exit status:
  0  it is served (with --manifests: it would be, if its pods answer)
  1  it is not; or no router can be reached
  2  that is not known; or an option, a manifest or the kubeconfig cannot be used
"""
_read = reader(list[Explanation])


def complete_asker(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the asker."""
    # It asks an API server, by what takes time to import.
    from router.cli import completion  # noqa: PLC0415 - the line above

    return completion.asker(ctx, param, incomplete)


@click.command(help=_HELP)
@click.argument("asker", shell_complete=complete_asker)
@with_options(running("--router"))
@option(
    "--probe",
    is_flag=True,
    help="Let the router connect to each server, and to the port; it closes the connections at once.",
)
@option("--output", type=click.Choice(["text", "json"]), default="text", help="For people, or an array of objects.")
@click.option(
    "--manifests",
    type=PATHS,
    multiple=True,
    help="File or folder of manifests to judge; repeatable, - is standard input.",
)
@with_options(ADMISSION, RENDER, HTTP)
@clear_errors
def explain(asker: str, output: str, manifests: tuple[Path, ...], *, probe: bool, **values: Any) -> None:
    """Print the way of one asker."""
    wanted = Wanted.read(asker)
    asked = RunningOptions(**{name: values.pop(name) for name in RunningOptions.__dataclass_fields__})
    problems = False
    if manifests:
        if probe:
            raise SettingsError("--probe needs a router that runs, and --manifests has none")
        found, problems = _judged(manifests, ServingSettings(**values), wanted)
    else:
        try:
            found = _asked(asked, wanted, probe=probe)
        except (RouterUnreachable, ApiError) as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(UNREACHABLE) from error
    if output == "json":
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
    else:
        click.echo("\n\n".join("\n".join(map(printable, tree(each).split("\n"))) for each in found))
    if problems:
        raise SystemExit(UNUSABLE_INPUT)
    served = [each.served for each in found]
    if not all(served):
        raise SystemExit(NOT_SERVED if False in served else UNKNOWN)


def _judged(paths: tuple[Path, ...], options: ServingSettings, wanted: Wanted) -> tuple[tuple[Explanation, ...], bool]:
    """Give what a router would do with manifests, and whether some cannot be used."""
    objects, problems = load_objects(paths, options.tls_files().first(), *port_policy.load(options))
    outcome = Admission(options.admission()).update(objects, objects.everything())
    facts = Facts(
        objects=objects,
        verdicts=outcome.verdicts,
        model=outcome.model,
        router_name=options.router_name,
        ledger=options.ledger_name,
        policy=outcome.policy,
        gateway_api=outcome.gateway_api,
        runs=False,
    )
    return explained(facts, wanted), bool(problems)


def _asked(options: RunningOptions, wanted: Wanted, *, probe: bool) -> tuple[Explanation, ...]:
    router = source(click.get_current_context(), options)
    body = router.page(f"{PROBE if probe else EXPLAIN}{quote(wanted.path, safe='/:')}")
    try:
        return tuple(_read(body))
    except msgspec.DecodeError as error:
        raise RouterUnreachable(f"what listens at {router.name} is no router: {error}") from error
