"""``tcp-router haproxy``: what the HAProxy container of a pod runs, beside ``tcp-router run --haproxy-mode attached``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
import structlog

from router import logs
from router.cli.dumps import leave_no_core
from router.cli.exits import UNREACHABLE, clear_errors
from router.cli.options import HAPROXY, LOG_FORMAT, STATE_DIR, option, with_options
from router.cli.signals import to_stop_by
from router.errors import HaproxyError, SettingsError
from router.haproxy.process import bootstrap, first_process
from router.haproxy.process.arguments import master_worker
from router.haproxy.process.binary import find_binary
from router.haproxy.talk.master import processes
from router.haproxy.talk.stats import info
from router.settings import RenderSettings

log = structlog.get_logger()

_CHECK_DEADLINE_S = 60.0
_PROBE_DEADLINE_S = 5.0

_HELP = """\
Become the HAProxy that a router attaches to (tcp-router run --haproxy-mode attached), on the same state directory.

A haproxy.cfg that is there is kept, so that a restarted HAProxy serves at once. None, or one that HAProxy does not
start with (kept as haproxy.cfg.refused), is replaced by a small one that serves nothing but its sockets; the router brings
HAProxy level from there. Then this process starts HAProxy, passes signals on to it (SIGUSR1 lets its connections end, SIGTERM
cuts them), makes log lines of what it says, and ends when it does.

\b
Exit status:
  HAProxy's own
  0  with --probe: it is well; or a signal came before HAProxy was started
  1  with --probe: it is not
  2  HAProxy is missing, or the state directory cannot be used
"""


@click.command(help=_HELP)
@option(
    "--judge",
    is_flag=True,
    help="Have haproxy.cfg judged before HAProxy is started on it, and not only where it does not start.",
)
@option("--probe", is_flag=True, help="Say whether the HAProxy on this state directory is well, and start none.")
@with_options((STATE_DIR, HAPROXY, LOG_FORMAT))
@clear_errors
def haproxy(*, judge: bool, probe: bool, state_dir: Path, **values: Any) -> None:
    """Run HAProxy, or say whether it is well."""
    settings = RenderSettings(state_dir=state_dir.absolute())
    if probe:
        raise SystemExit(_probe(settings))
    leave_no_core()
    as_json = logs.is_json(values["log_format"])
    logs.configure(json=as_json)
    # The first process of a container does not get signals that it has no handler for.
    for number in to_stop_by():
        signal.signal(number, _leave)
    binary = find_binary(values["haproxy"])
    config = settings.state_dir / "haproxy.cfg"
    try:
        kept = bootstrap.prepare(binary, config, settings, _CHECK_DEADLINE_S, judge=judge)
    except OSError as error:
        raise SettingsError(
            f"the state directory {settings.state_dir} cannot be used ({error.strerror}: {error.filename}); "
            "give a writable one with --state-dir"
        ) from error
    log.info("haproxy starts", haproxy=binary.build, haproxy_path=str(binary.path), configuration_kept=kept)
    # The same once more, as it was started.
    again = [*sys.orig_argv[1:], "--judge"] if kept and not judge else []
    _become_its_parent(settings, master_worker(binary, config, settings.master_socket), again, as_json=as_json)


def _become_its_parent(settings: RenderSettings, command: list[str], again: list[str], *, as_json: bool) -> NoReturn:
    """Start HAProxy, and this command once more by ``again`` where HAProxy does not start and that is not empty."""
    # Its handlers are not there at once, and ours are gone.
    signal.pthread_sigmask(signal.SIG_BLOCK, first_process.PASSED_ON)
    of_json = "json" if as_json else "text"
    os.execv(  # noqa: S606 - becoming HAProxy's parent, without all that we have loaded, is what this command is for
        sys.executable,
        [
            sys.executable,
            "-I",
            "-S",
            first_process.__file__,
            of_json,
            str(settings.state_dir),
            json.dumps(command),
            *again,
        ],
    )


def _leave(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - the form of a handler
    """End: HAProxy does not run yet, so there is nothing to drain."""
    raise SystemExit(0)


def _probe(settings: RenderSettings) -> int:
    """Ask master and worker; a master whose workers only drain is well, too, for it must not be killed."""
    try:
        if processes(settings.master_socket, _PROBE_DEADLINE_S).worker is not None:
            info(settings.stats_socket, _PROBE_DEADLINE_S)
    except HaproxyError as error:
        click.echo(f"Error: {error}", err=True)
        return UNREACHABLE
    click.echo("ok")
    return 0
