"""By which name or address clients reach the router."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from router.cli.own_addresses import reached_by
from router.cli.run import run
from router.cli.run_settings import RunSettings
from router.errors import SettingsError

PUBLISHED = ("--publish-service", "openshift-ingress/tcp-router")


def settings(*arguments: str) -> RunSettings:
    """Read options as the command does."""
    return RunSettings(**run.make_context("run", list(arguments)).params)


def cluster(address: str | None) -> Any:
    """Stand for an API server with, or without, a Service in front."""
    return SimpleNamespace(publishing=SimpleNamespace(address=address) if address is not None else None)


@pytest.mark.parametrize(
    ("arguments", "address", "expected"),
    [
        ((), None, None),
        (("--canonical-hostname", "tcp.example.com"), None, "tcp.example.com"),
        (PUBLISHED, "lb.example.com", "lb.example.com"),
        (PUBLISHED, "", None),
        ((*PUBLISHED, "--canonical-hostname", "tcp.example.com"), "lb.example.com", "tcp.example.com"),
    ],
)
def test_the_name_that_an_admin_gave_comes_first(
    arguments: tuple[str, ...], address: str | None, expected: str | None
) -> None:
    """Then the address of the Service in front, as it is now."""
    assert reached_by(settings(*arguments), cluster(address))() == expected


def test_a_service_in_front_needs_an_api_server() -> None:
    """With a folder of manifests there is none, and the option would be in vain."""
    with pytest.raises(SettingsError, match="--publish-service needs an API server"):
        reached_by(settings(*PUBLISHED), None)
