"""What ``tcp-router run`` does before all else: take the state directory, and have HAProxy serve what the router before it left there.

Nothing that is not needed for that is imported here: clients wait.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog

from router import __version__
from router.errors import HaproxyError
from router.haproxy.process.binary import HaproxyBinary, find_binary
from router.reconcile.state_dir import StateDir
from router.settings import RenderSettings
from router.shapes import read_any

if TYPE_CHECKING:
    from router.haproxy.kept import KeptHaproxy

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Start:
    """What a router has before its parts."""

    binary: HaproxyBinary
    state: StateDir
    kept: KeptHaproxy | None
    """The HAProxy that was started already."""


def begin(context: click.Context, values: Mapping[str, Any], stack: ExitStack) -> Start:
    """Take the state directory, and start HAProxy on what is there, if that was made by what is now.

    Args:
        context: of the command; its options have variables.
        values: those of the options.
        stack: what must be undone at the end goes there.

    Raises:
        RouterError: there is no HAProxy, or the state directory cannot be used.
    """
    binary = find_binary(values["haproxy"])
    settings = RenderSettings(state_dir=values["state_dir"].absolute())
    state = StateDir(settings.state_dir)
    state.open()
    stack.callback(state.close)
    if values["haproxy_mode"] != "standalone":
        return Start(binary, state, None)
    now = _origin(binary, context.command.params, values["template_dir"])
    state.origin = json.dumps(now, sort_keys=True).encode()
    try:
        kept = _started(binary, settings, state, now, stack)
    except (HaproxyError, OSError) as error:
        _say_not_served(_said_by(error))
        kept = None
    if kept is None:
        # What is there counts for nothing from now on, also where the next router says the same of itself as this one.
        state.forget_origin()
    return Start(binary, state, kept)


def _started(
    binary: HaproxyBinary, settings: RenderSettings, state: StateDir, now: Mapping[str, str], stack: ExitStack
) -> KeptHaproxy | None:
    """Start HAProxy on the configuration that is there, if that was made as one would be now; else say why not, and give None."""
    noted = state.kept_origin()
    if noted is None:
        return None
    if others := _differing(noted, now):
        _say_not_served(f"it was made by another {', another '.join(others)}")
        return None
    # On first use: where nothing is kept, the API server is asked before all that is imported.
    from router.haproxy.kept import KeptHaproxy  # noqa: PLC0415 - the line above

    kept = KeptHaproxy(binary, state.config, settings)
    hurry = threading.Event()
    hurry.set()
    # Where the router does not come to the point where it takes HAProxy down itself.
    stack.callback(lambda: kept.process.stop(0.0, hurry))
    kept.begin()
    return kept


def _said_by(error: HaproxyError | OSError) -> str:
    if not isinstance(error, HaproxyError):
        return str(error)
    from router.haproxy.kept import said_by  # noqa: PLC0415 - as above

    return said_by(error)


def _say_not_served(problem: str) -> None:
    log.warning(
        "kept configuration not served",
        problem=problem,
        consequence="HAProxy starts when the first configuration is made",
    )


def _origin(binary: HaproxyBinary, options: Iterable[click.Parameter], templates: Path | None) -> dict[str, str]:
    """Name what a configuration depends on beside the objects; of options all, for what they allow may be another thing now."""
    variables: set[str] = set()
    for option in options:
        named = option.envvar
        variables.update((named,) if isinstance(named, str) else named or ())
    said = [sys.argv[1:], sorted((name, os.environ[name]) for name in variables if name in os.environ)]
    return {
        "router": __version__,
        "haproxy": binary.build,
        "set of options": _digest(json.dumps(said).encode()),
        "set of templates": _digest(*_contents(templates)) if templates is not None else "",
    }


def _contents(folder: Path) -> Iterable[bytes]:
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path.name.encode()
            yield path.read_bytes()


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} ".encode() + part)
    return digest.hexdigest()


def _differing(noted: bytes, now: Mapping[str, str]) -> list[str]:
    """Name what a configuration was made by that is another now."""
    try:
        before = read_any(noted)
    except ValueError:
        before = None
    if not isinstance(before, dict):
        return ["router"]
    return [name for name in now if before.get(name) != now[name]]
