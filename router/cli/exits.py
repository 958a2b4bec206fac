"""Exit codes, and the end of a command that cannot do its work."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from router.errors import RouterError

NOT_ALL_ADMITTED = 1
UNREACHABLE = 1
UNUSABLE_INPUT = 2

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def _say(text: str) -> None:
    """Write a line on standard error, if that is possible: if not, the exit code still tells."""
    try:
        click.echo(text, err=True)
    except (OSError, ValueError):
        # What is left in its buffer would be tried once more at the end, and make another exit code of ours.
        sys.stderr = None  # as Python has it where there is none


def clear_errors(command: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Turn the router's own exceptions into one line on standard error and exit code 2."""

    @functools.wraps(command)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return command(*args, **kwargs)
        except RouterError as error:
            _say(f"Error: {error}")
            raise SystemExit(UNUSABLE_INPUT) from error

    return run
