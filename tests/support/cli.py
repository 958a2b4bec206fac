"""The commands of ``tcp-router``, as click knows them."""

from __future__ import annotations

import click

from router.cli import main


def commands() -> list[click.Command]:
    """Give every command."""
    context = click.Context(main)
    found = [main.get_command(context, name) for name in main.list_commands(context)]
    return [command for command in found if command is not None]
