"""Let HAProxy judge a configuration file, without a word to the HAProxy that runs (``haproxy -c``)."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from router.errors import HaproxyError, HaproxyUnreachable
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.talk.alerts import Diagnostic, diagnostics


@dataclass(frozen=True, slots=True)
class CheckResult:
    """HAProxy's judgement, and all that it printed. Warnings do not make it refuse."""

    accepted: bool
    diagnostics: tuple[Diagnostic, ...]
    log: str


def check_config(binary: HaproxyBinary, config: Path, timeout_s: float) -> CheckResult:
    """Ask HAProxy whether it would start with this configuration. It does not notice a port that is taken.

    Args:
        binary: the HAProxy to ask.
        config: the file; its map files are read too.
        timeout_s: seconds that it may take; 10,000 ports with 3 servers each take about one.

    Raises:
        HaproxyUnreachable: it did not come to an end within ``timeout_s``, and was killed.
        HaproxyError: it could not be run.
    """
    try:
        ended = subprocess.run(  # noqa: S603 - the HAProxy that find_binary chose
            [binary.path, "-c", "-f", config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
            # Ctrl-C on the terminal is for the router alone; it must not look like a refusal.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise HaproxyUnreachable(f"{binary.path} -c did not judge {config} within {timeout_s:g} s") from None
    except OSError as error:
        raise HaproxyError(f"{binary.path} cannot be run: {error.strerror}") from error
    log = ended.stdout
    if ended.returncode < 0:
        # A crash is a refusal: what made it crash is in the file, and must not come to the HAProxy that runs.
        log += f"{binary.path} -c was ended by signal {-ended.returncode}\n"
    return CheckResult(ended.returncode == 0, diagnostics(log, str(config)), log)
