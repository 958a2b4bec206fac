"""The stunnel beside a client that knows no TLS: its configuration as ``tcp-router stunnel`` prints it, and the way that it says."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from router.demo import client
from router.demo.child import ROUTER, Child, own_environment
from router.errors import DemoFailed

_PRINTED_S = 60.0
"""How long the command may take: a machine's first start of Python can be slow."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The configuration, and where the stunnel listens that has it."""

    file: Path
    port: int
    """Where plain clients connect."""
    child: Child | None
    """The stunnel; None where none is installed."""

    def ask(self, line: str) -> str:
        """Exchange a line as a plain client does; without a stunnel by TLS of our own, as the configuration says.

        Raises:
            OSError: as ``client.ask`` and ``client.ask_over_tls``.
            DemoFailed: the stunnel has ended.
        """
        if self.child is not None:
            self.child.check()
            return client.ask(self.port, line)
        said = dict(each.split(" = ", 1) for each in self.file.read_text().splitlines() if " = " in each)
        port = int(said["connect"].rpartition(":")[2])
        return client.ask_over_tls(port, said["sni"], Path(said["CAfile"]), line)


def bridge(  # noqa: PLR0913, PLR0917 - both of its ends
    asker: str, port: int, http_port: int, sni_port: int, certificate_file: Path, work: Path, stack: ExitStack
) -> Bridge:
    """Have the configuration printed by a router that runs, and start a stunnel with it, if there is one.

    Args:
        asker: whom it leads to.
        port: for plain clients.
        http_port: where the router is asked.
        sni_port: where its clients are.
        certificate_file: what is trusted.
        work: where the configuration and the log go.
        stack: ends the stunnel.

    Raises:
        DemoFailed: the router prints none.
    """
    places = {"--router": http_port, "--accept": port, "--connect": sni_port}
    options = [word for option, at in places.items() for word in (option, f"127.0.0.1:{at}")]
    command = [*ROUTER, "stunnel", asker, *options, "--ca-file", str(certificate_file)]
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are the demo's own
            command, capture_output=True, text=True, timeout=_PRINTED_S, check=False, env=own_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise DemoFailed(f"tcp-router stunnel printed nothing within {_PRINTED_S:g} s") from error
    if done.returncode:
        raise DemoFailed(f"tcp-router stunnel {asker}: {done.stderr.strip()}")
    file = work / "stunnel.conf"
    file.write_text(done.stdout)
    program = shutil.which("stunnel")
    child = Child([program, str(file)], work / "stunnel.log", "stunnel") if program is not None else None
    return Bridge(file, port, stack.enter_context(child) if child is not None else None)
