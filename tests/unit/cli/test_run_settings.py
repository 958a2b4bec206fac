"""That the types of settings have just the options of the commands."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click
import pytest

from router.cli.check import check
from router.cli.explain import explain
from router.cli.ports import ports
from router.cli.render import render
from router.cli.run import run
from router.cli.run_settings import RunSettings, ServingSettings
from router.cli.running import RunningOptions
from router.cli.stunnel import stunnel
from router.errors import SettingsError


@pytest.mark.parametrize(
    ("command", "settings", "beside"),
    [
        pytest.param(run, RunSettings, set(), id="run"),
        pytest.param(check, ServingSettings, {"paths", "output", "haproxy"}, id="check"),
        pytest.param(render, ServingSettings, {"paths", "haproxy_version"}, id="render"),
        pytest.param(ports, RunningOptions, {"output"}, id="ports"),
    ],
)
def test_each_option_is_a_field(command: click.Command, settings: type, beside: set[str]) -> None:
    """An option that is added to a command, or goes, does so in its settings too."""
    assert {field.name for field in fields(settings)} | beside == {each.name for each in command.params}


def test_each_option_of_explain_is_a_field() -> None:
    """It has those of a router that is asked, and of manifests that are judged."""
    known = {field.name for settings in (ServingSettings, RunningOptions) for field in fields(settings)}
    assert known | {"asker", "output", "manifests", "probe"} == {each.name for each in explain.params}


def test_each_option_of_stunnel_is_a_field() -> None:
    """Likewise, and what is said of the client's side."""
    known = {field.name for settings in (ServingSettings, RunningOptions) for field in fields(settings)}
    own = {"asker", "form", "accept", "connect", "server_name", "ca_file", "manifests"}
    assert known | own == {each.name for each in stunnel.params}


def test_the_defaults_of_run_are_of_the_types_that_are_named() -> None:
    """What click makes of the options' defaults is what the settings say that it is."""
    settings = RunSettings(**run.make_context("run", []).params)
    assert settings.reload_interval == 1000
    assert settings.http_address == ("127.0.0.1", 1936)
    assert settings.bind_addresses == ()
    assert settings.listens_everywhere
    assert settings.lease == settings.router_name == settings.admission().router_name


def _settings(*arguments: str) -> RunSettings:
    return RunSettings(**run.make_context("run", list(arguments)).params)


def test_what_would_let_everybody_in_ends_the_start(tmp_path: Path) -> None:
    """Certificates that nothing verifies, and what says how to verify those that nobody asks for."""
    file = str(tmp_path / "ca.pem")
    Path(file).write_text("x")
    refused = {
        ("--mutual-tls-auth", "required"): "needs --mutual-tls-auth-ca",
        ("--mutual-tls-auth", "optional", "--mutual-tls-auth-filter", "CN=x"): "needs --mutual-tls-auth-ca",
        ("--mutual-tls-auth-ca", file): "--mutual-tls-auth-ca has no effect",
        ("--mutual-tls-auth", "none", "--mutual-tls-auth-crl", file): "--mutual-tls-auth-crl has no effect",
        ("--mutual-tls-auth-filter", "CN=x"): "--mutual-tls-auth-filter has no effect",
    }
    for arguments, said in refused.items():
        with pytest.raises(SettingsError, match=said):
            _settings(*arguments).tls_files()
    assert not _settings("--mutual-tls-auth", "none").admission().client_auth
    asked = _settings(
        "--mutual-tls-auth", "optional", "--mutual-tls-auth-ca", file, "--mutual-tls-auth-filter", "CN=x y"
    )
    assert asked.tls_files()
    assert (asked.admission().client_auth, asked.admission().client_subjects) == ("optional", "CN=x y")
    assert asked.render().client_subjects == "CN=x y"
    with pytest.raises(click.BadParameter, match="printable"):
        _settings("--mutual-tls-auth-filter", "a\nb")
    with pytest.raises(click.BadParameter):
        _settings("--mutual-tls-auth", "maybe")
    assert _settings("--mtls-pool", "3").admission().mtls_pool == 3
