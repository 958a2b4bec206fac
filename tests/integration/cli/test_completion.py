"""Completion of askers, and ``kubectl tcp-router``."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cli.completion import asker
from router.cli.explain import explain
from tests.support.api_server import ApiServer
from tests.support.objects import route, service
from tests.support.programs import requires_program

SCRIPTS = Path(sysconfig.get_path("scripts"))


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an API server with some Routes and Services."""
    with ApiServer() as server:
        for name in ("db", "cache"):
            server.create(route(name, 6620, namespace="shop"))
        server.create(service("web", 80, namespace="shop"))
        server.create(route("db", 6621, namespace="shipping"))
        yield server.kubeconfig(tmp_path, "admin")


def completed(kubeconfig: Path | None, text: str) -> list[str]:
    """Give what may be meant by a text."""
    context = explain.make_context("explain", [], resilient_parsing=True)
    context.params["kubeconfig"] = kubeconfig
    return [each.value for each in asker(context, explain.params[0], text)]


def test_namespaces_then_names(kubeconfig: Path) -> None:
    """Namespaces up to the slash, Routes and Services behind it, of one kind where it is said."""
    assert {"shipping/", "shop/"} <= set(completed(kubeconfig, "sh"))
    assert completed(kubeconfig, "sho") == ["shop/"]
    assert completed(kubeconfig, "shop/") == ["shop/cache", "shop/db", "shop/web"]
    assert completed(kubeconfig, "shop/d") == ["shop/db"]
    assert completed(kubeconfig, "service/shop/") == ["service/shop/web"]
    assert completed(kubeconfig, "route/sho") == ["route/shop/"]
    assert completed(kubeconfig, "nowhere/") == []


def test_without_an_api_server_there_is_none(tmp_path: Path) -> None:
    """Nobody reads an error in the middle of a line."""
    assert completed(tmp_path / "none", "shop/") == []


def test_kubectl_finds_the_plugin_and_its_completion(kubeconfig: Path) -> None:
    """As ``kubectl tcp-router ...``; what kubectl asks for completion has its directive at the end."""
    kubectl = SCRIPTS / "kubectl" if (SCRIPTS / "kubectl").exists() else requires_program("kubectl")
    env = {**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig)}
    told = subprocess.run(
        [kubectl, "tcp-router", "explain", "--help"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "ASKER is [KIND/]NAMESPACE/NAME[:PORT]" in told.stdout
    script = [SCRIPTS / "kubectl_complete-tcp_router"]
    found = subprocess.run([*script, "explain", "sho"], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.splitlines() == ["shop/", ":6"]
    found = subprocess.run(
        [*script, "explain", "shop/d"], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.splitlines() == ["shop/db", ":4"]
    found = subprocess.run([*script, "ex"], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert [line.split("\t")[0] for line in found.stdout.splitlines()] == ["explain", ":4"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    """As docs/plugin.md says."""
    env = {**os.environ, "_TCP_ROUTER_COMPLETE": f"{shell}_source"}
    told = subprocess.run([SCRIPTS / "tcp-router"], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "_TCP_ROUTER_COMPLETE" in told.stdout
