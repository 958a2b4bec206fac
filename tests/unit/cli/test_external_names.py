"""The options about names of ExternalName Services, and what they cost who does not use them."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import click
import pytest

from router.cli.external_names import look_up
from router.cli.run import run
from router.cli.run_settings import RunSettings
from router.errors import SettingsError
from router.objects.store import Store
from router.observe.metrics.router import Metrics


def settings(*arguments: str) -> RunSettings:
    """Read options as the command does."""
    return RunSettings(**run.make_context("run", list(arguments)).params)


def test_options() -> None:
    """Names in lower case, each once; servers with and without a port."""
    given = settings(
        "--external-names", "*.DB.example.com", "--external-names", "a.example.com", "--external-names", "a.example.com",
        "--resolver", "192.0.2.1", "--resolver", "2001:db8::1", "--resolver", "[2001:db8::1]:5353", "--resolver", "192.0.2.1:5353",
    )  # fmt: skip
    assert given.admission().external_names == ("*.db.example.com", "a.example.com")
    assert not given.admission().external_names_private
    assert given.resolvers == (("192.0.2.1", 53), ("2001:db8::1", 53), ("2001:db8::1", 5353), ("192.0.2.1", 5353))
    assert settings("--external-names-private").admission().external_names_private
    assert settings().admission().external_names == ()


def test_options_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """With spaces between."""
    monkeypatch.setenv("TCP_ROUTER_EXTERNAL_NAMES", "*.a.example.com b.example.com")
    monkeypatch.setenv("TCP_ROUTER_RESOLVER", "192.0.2.1 [::1]:5353")
    assert settings().external_names == ("*.a.example.com", "b.example.com")
    assert settings().resolvers == (("192.0.2.1", 53), ("::1", 5353))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--external-names", "*.*.example.com"),
        ("--external-names", "example.com."),
        ("--external-names", "*example.com"),
        ("--external-names", ""),
        ("--resolver", "dns.example.com"),
        ("--resolver", "192.0.2.1:0"),
        ("--resolver", "192.0.2.1:70000"),
        ("--resolver", "2001:db8::1:53:x"),
    ],
    ids=" ".join,
)
def test_what_is_no_option(arguments: tuple[str, ...]) -> None:
    """A suffix is a name with ``*.`` before it at most; a server is an address."""
    with pytest.raises(click.BadParameter):
        settings(*arguments)


def test_who_leads_to_no_names_waits_for_no_dns_library() -> None:
    """It is imported where the option is on, and nowhere else."""
    code = "import sys, router.cli.run, router.cli.cluster; raise SystemExit('dns' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--resolver", "192.0.2.1"),
            "--resolver has no effect without --external-names, which says which names may be led to",
        ),
        (
            ("--external-names-private",),
            "--external-names-private has no effect without --external-names, which says which",
        ),
    ],
    ids=["resolver", "private"],
)
def test_options_that_would_have_no_effect(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """They are refused at the start."""
    given = settings(*arguments)
    with ExitStack() as stack, pytest.raises(SettingsError, match=re.escape(told)):
        look_up(given, Store(), tmp_path / "names.json", Metrics("2.8.0", lambda: True), stack)
