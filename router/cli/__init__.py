"""The commands; the only place that reads argv and the environment and wires parts together."""

from __future__ import annotations

import click

from router import __version__
from router.cli.check import check
from router.cli.render import render
from router.cli.run import run
from router.demo.command import demo

_HELP = """\
Give Routes of OpenShift external TCP ports, through HAProxy, straight to the pods.

A team annotates its Route:

\b
  haproxy.router.openshift.io/router-name: tcp-router
  haproxy.router.openshift.io/external-tcp-port: "13306"

and its database, broker or game server is reachable on that port.

\b
To see it work on this machine:         tcp-router demo
To judge manifests in a pull request:   tcp-router check DIR
To see the configuration they make:     tcp-router render DIR
To route, from manifests in a folder:   tcp-router run --manifests DIR

Each option can also be given as the environment variable that its help names.
"""


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="tcp-router")
def main() -> None:
    """Run the command that argv names."""


for _command in (run, render, check, demo):
    main.add_command(_command)
