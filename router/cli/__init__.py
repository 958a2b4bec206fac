"""The commands; the only place that reads argv and the environment and wires parts together."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

import click

from router import __version__

_MODULES: Mapping[str, str] = {
    "check": "router.cli.check",
    "claims": "router.cli.claims",
    "demo": "router.demo.command",
    "explain": "router.cli.explain",
    "haproxy": "router.cli.haproxy",
    "network-policy": "router.cli.network_policy",
    "page": "router.cli.page",
    "pair": "router.cli.pair",
    "ports": "router.cli.ports",
    "render": "router.cli.render",
    "run": "router.cli.run",
    "stunnel": "router.cli.stunnel",
    "top": "router.cli.top",
}
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
To route, from an API server:           tcp-router run
To see what a running router serves:    tcp-router ports
To see why one is not served:           tcp-router explain ASKER
To see who uses it:                     tcp-router top
To see all of it in a browser:          tcp-router page
To take over who holds which port:      tcp-router claims adopt
To reach one by TLS from plain clients: tcp-router stunnel ASKER
To let the router reach your pods:      tcp-router network-policy NAMESPACE/NAME
To let two clusters reach each other:   tcp-router pair
To run HAProxy in a container its own:  tcp-router haproxy

Each option can also be given as the environment variable that its help names.
"""


class _Commands(click.Group):
    """Imports a command when it is named: the kubernetes client alone takes as long, and as much memory, as all the rest."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        """Give the names of the commands."""
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Give a command, None for a name that is none."""
        module = _MODULES.get(cmd_name)
        command = getattr(_imported(module), cmd_name.replace("-", "_")) if module is not None else None
        return command if isinstance(command, click.Command) else None


def _imported(module: str) -> ModuleType:
    """Import, and look for nothing to collect meanwhile: what is imported stays, and is much."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        return import_module(module)
    finally:
        if was_on:
            gc.enable()


@click.group(
    cls=_Commands, help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(__version__, prog_name="tcp-router")
def main() -> None:
    """Run the command that argv names."""
