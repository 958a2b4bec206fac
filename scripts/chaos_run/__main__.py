"""``python -m scripts.chaos_run``, which ``scripts/chaos`` runs."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.support.chaos.pairs import run_pairs
from tests.support.chaos.run import report, run
from tests.support.crd import CRD_FILE

_SEEDS = 1_000_000
_HELP = """\
Change Routes, Services and endpoints at random, kill, cut, take and spoil; and look after each round whether all is well.

\b
Exit status:
  0  nothing was found
  1  something was found; the folder that is named has all logs and files
"""


@click.command(help=_HELP)
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    default=300.0,
    show_default=True,
    help="How long; the last round is finished.",
)
@click.option("--seed", type=int, default=None, show_default="chosen and printed", help="Decides what happens.")
@click.option("--rounds", type=click.IntRange(1), default=None, help="So many rounds, however long they take.")
@click.option("--haproxy", default=None, show_default="found as tcp-router run does", help="The HAProxy to run.")
@click.option("--pairs", is_flag=True, help="Between two clusters: claims, both API servers and tcp-router pair.")
@click.option("--quiet", is_flag=True, help="Print what was done only if something was found.")
def main(  # noqa: PLR0913 -- the options
    seconds: float, seed: int | None, rounds: int | None, haproxy: str | None, *, pairs: bool, quiet: bool
) -> None:
    """Run it."""
    if not CRD_FILE.is_file():
        raise click.ClickException(f"needs the CRD of Routes: {CRD_FILE}")
    chosen = secrets.randbelow(_SEEDS) if seed is None else seed
    click.echo(f"seed {chosen}")
    ends_s = time.monotonic() + seconds
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    say = (lambda _: None) if quiet else click.echo

    def goes_on(number: int) -> bool:
        return number < rounds if rounds is not None else time.monotonic() < ends_s

    found = run_pairs(directory, chosen, goes_on, say) if pairs else run(directory, chosen, goes_on, say, haproxy)
    if found.problem:
        click.echo(report(found, directory))
        click.echo(
            f"all of it is in {directory}; again: scripts/chaos{' --pairs' if pairs else ''} --seed {chosen} --rounds {found.rounds + 1}"
        )
        sys.exit(1)
    shutil.rmtree(directory)
    click.echo(str(found))


if __name__ == "__main__":
    main()
