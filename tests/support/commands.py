"""The commands as a user gives them: in this process for tables of cases, and as a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from router.cli import main

OF_THE_ROUTER = ("TCP_ROUTER_", "ROUTER_", "RELOAD_", "STATS_", "WZH_")
"""How the names of our variables begin; those of whoever runs the tests must not decide them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Give what ``check --output json`` printed, by ``namespace/name``."""
        return {f"{row['namespace']}/{row['name']}": row for row in json.loads(self.stdout)}


def invoke(*args: str | Path, env: Mapping[str, str] | None = None, text: str | bytes | None = None) -> Ended:
    """Run a command in this process, with a text on standard input; an exception that it lets out fails the test."""
    cleared: dict[str, str | None] = {name: None for name in os.environ if name.startswith(OF_THE_ROUTER)}
    result = CliRunner(env={**cleared, **(env or {})}).invoke(
        main, [str(arg) for arg in args], input=text, catch_exceptions=False
    )
    return Ended(result.exit_code, result.stdout, result.stderr)


def run_process(*args: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> Ended:
    """Run a command as ``python -m router`` and wait for its end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_ROUTER)}
    ended = subprocess.run(
        [sys.executable, "-m", "router", *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**inherited, **(env or {})},
        timeout=timeout_s,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def write_manifests(folder: Path, *objects: dict[str, Any]) -> Path:
    """Put objects into a new file of a folder, which is made if need be, and give the folder."""
    folder.mkdir(exist_ok=True)
    name = f"{len(list(folder.iterdir()))}.yaml"
    (folder / name).write_text(yaml.safe_dump_all(objects, sort_keys=False))
    return folder
