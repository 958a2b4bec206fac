"""``tcp-router render``: the configuration that manifests make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from router.admission import Admission
from router.cli import check_gateways, port_policy
from router.cli.bases import bases_of_defaults
from router.cli.columns import printable
from router.cli.exits import UNUSABLE_INPUT, clear_errors
from router.cli.inputs import PATHS, load_objects
from router.cli.options import ADMISSION, HTTP, RENDER, option, with_options
from router.cli.run_settings import ServingSettings
from router.cli.version_type import HaproxyVersionType
from router.errors import HaproxyNotFound
from router.haproxy.process.binary import OLDEST, adds_backends, find_binary
from router.model import Asker
from router.reconcile.presence import everywhere
from router.render import Renderer, TemplateSet

_HELP = """\
Print the haproxy.cfg that the manifests in PATHS (files, folders, or - for standard input) make.

It is that for the HAProxy that run would find, or for the version that is named; without either for 2.8. The ports of a pool are in
none. HAProxy is not asked whether it takes it: tcp-router check does that. Only the configuration goes to standard output; verdicts, and
what is wrong with manifests, go to standard error. The map and ACL files, and the script, that it names are not written.

\b
Exit status:
  0  done
  2  a manifest or an option cannot be used
"""


@click.command(help=_HELP)
@click.argument("paths", nargs=-1, required=True, type=PATHS)
@option("--haproxy-version", type=HaproxyVersionType(), default=None, show_default="that of the HAProxy that run would find",
        help="The version of HAProxy that the configuration is for, such as 3.4.")  # fmt: skip
@with_options(ADMISSION, RENDER, HTTP)
@clear_errors
def render(*, paths: tuple[Path, ...], haproxy_version: tuple[int, int] | None, **values: Any) -> None:
    """Print haproxy.cfg."""
    options = ServingSettings(**values)
    objects, problems = load_objects(paths, options.tls_files().first(), *port_policy.load(options))
    admission = options.admission()
    outcome = Admission(admission).update(objects, objects.everything())
    has_bases = adds_backends(haproxy_version or _version_found())
    settings = replace(options.render(), bases=bases_of_defaults(admission.defaults) if has_bases else ())
    model = everywhere(settings.addresses).fit(outcome.model)
    rendered = Renderer(TemplateSet.load(options.template_dir), settings).render(model)
    click.echo(rendered.config, nl=False)
    for asker, verdict in outcome.verdicts.items():
        became = "admitted" if verdict.admitted else f"rejected: {verdict.reason}: {verdict.message}"
        click.echo(printable(f"{asker.shown}: {became}"), err=True)
        for warning in verdict.warnings:
            click.echo(printable(f"{asker.shown}: warning: {warning}"), err=True)
    for line in check_gateways.lines(objects, outcome, serves=options.serves_gateways):
        click.echo(printable(line), err=True)
    for failure in rendered.failures:
        owner = failure.owner.shown if isinstance(failure.owner, Asker) else failure.owner
        click.echo(printable(f"{owner}: left out: {failure.error}"), err=True)
    click.echo("not judged by HAProxy: tcp-router check does that", err=True)
    if problems or rendered.failures:
        raise SystemExit(UNUSABLE_INPUT)


def _version_found() -> tuple[int, int]:
    """Give that of the HAProxy which run would find; the oldest that can be used where there is none."""
    try:
        return find_binary().version[:2]
    except HaproxyNotFound:
        return OLDEST
