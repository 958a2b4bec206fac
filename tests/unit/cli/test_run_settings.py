"""That the types of settings have just the options of the commands."""

from __future__ import annotations

from dataclasses import fields

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
from router.cli.tls import refuse_client_certificates
from router.errors import SettingsError


@pytest.mark.parametrize(
    ("command", "settings", "beside"),
    [
        pytest.param(run, RunSettings, set(), id="run"),
        pytest.param(check, ServingSettings, {"paths", "output", "haproxy"}, id="check"),
        pytest.param(render, ServingSettings, {"paths"}, id="render"),
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


def test_certificates_of_clients_are_not_passed_over() -> None:
    """What OpenShift's router would verify clients by ends the start here."""
    for fine in ({}, {"ROUTER_MUTUAL_TLS_AUTH": ""}, {"ROUTER_MUTUAL_TLS_AUTH": "none"}):
        refuse_client_certificates(fine)
    for wanted in ("required", "optional", "x"):
        with pytest.raises(SettingsError, match="does not verify clients"):
            refuse_client_certificates({"ROUTER_MUTUAL_TLS_AUTH": wanted})
