"""What README.md and docs/ show is what the product takes: their manifests and commands, with the settings that they are for."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.cli.types import PortRangesType
from tests.support.commands import invoke
from tests.support.kustomize import MANIFESTS, environment, environment_of, one, render, rendered

ROOT = MANIFESTS.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What the trees are for: ports that Routes of the demo ask for are open in these.
DEMO_RUNS_ON = ("openshift", "overlays/host-network", "overlays/load-balancer")


def blocks(page: Path, language: str) -> list[str]:
    """Give the examples of a page in a language."""
    return [text for kind, text in _FENCED.findall(page.read_text()) if kind == language]


def checked(manifests: str, env: Mapping[str, str]) -> list[dict[str, Any]]:
    """Judge manifests as the router with these variables would; every Route must be for it."""
    ended = invoke("check", "--output", "json", "-", env=dict(env), text=manifests)
    assert ended.exit_code == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    rows: list[dict[str, Any]] = json.loads(ended.stdout)
    return rows


@pytest.mark.parametrize("tree", DEMO_RUNS_ON)
def test_the_demo_runs_on_the_install(tree: str) -> None:
    """Its Routes have the ports of the project's first demonstration, on what README.md installs and behind a load balancer."""
    rows = checked(rendered(MANIFESTS / "demo"), environment(tree))
    assert [(row["name"], row["port"], row["verdict"]) for row in rows] == [
        ("database", 13306, "admitted"),
        ("web", 18080, "admitted"),
    ]
    assert all("no endpoints" in warning for row in rows for warning in row["warnings"])


def test_on_premises_the_port_of_the_nodes_dns_is_kept(tmp_path: Path) -> None:
    """With the component of those platforms a Route that asks for 18080 is told that it is reserved."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    overlay = tmp_path / "mine"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(
        "resources: [../manifests/openshift]\ncomponents: [../manifests/components/on-premises]\n"
    )
    env = environment_of(list(yaml.safe_load_all(rendered(overlay))))
    ended = invoke("check", "--output", "json", "-", env=env, text=rendered(MANIFESTS / "demo"))
    assert ended.exit_code == 1
    assert {row["name"]: row["reason"] for row in json.loads(ended.stdout)} == {"web": "PortReserved", "database": None}


def _with_routes() -> list[tuple[str, str]]:
    examples = [(page, text) for page in PAGES for text in blocks(page, "yaml")]
    return [(page.name, text) for page, text in examples if re.search(r"^kind: Route$", text, re.MULTILINE)]


@pytest.mark.parametrize(("page", "example"), _with_routes(), ids=[page for page, _ in _with_routes()])
def test_routes_of_the_pages_are_admitted(page: str, example: str) -> None:
    """Each says nothing that the router would refuse or warn of; that of README.md with the name that the page exports."""
    env = dict(environment("openshift"))
    if page == "README.md":
        (name,) = re.findall(r"^\$ export (ROUTER_SERVICE_NAME)=(\S+)", (ROOT / page).read_text(), re.MULTILINE)
        env.update([name])
    if page == "ports.md":
        env["TCP_ROUTER_AUTO_PORTS"] = "20000-29999"
    (row,) = checked(example, env)
    assert row["verdict"] == "admitted"
    assert [warning for warning in row["warnings"] if "does not exist" not in warning] == []


def test_the_readmes_commands_work_on_its_own_example(tmp_path: Path) -> None:
    """Those that judge and print manifests, with the example of the page above them for manifests, as a user would type them."""
    readme = (ROOT / "README.md").read_text()
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "route.yaml").write_text(blocks(ROOT / "README.md", "yaml")[0])
    env = dict(re.findall(r"^\$ export (\w+)=(\S+)", readme, re.MULTILINE))
    commands = re.findall(r"^\$ tcp-router (check|render) my-manifests/", readme, re.MULTILINE)
    assert commands == ["check", "render"]
    for command in commands:
        ended = invoke(command, str(manifests), env=env)
        assert ended.exit_code == 0
        assert "6620" in ended.stdout


@pytest.mark.parametrize(("page", "router"), [("README.md", "manifests/openshift"), ("docs/install.md", ".")])
def test_the_pages_apply_the_kind_before_the_router(page: str, router: str) -> None:
    """Who follows them has no router that waits for PortClaims for ever."""
    applied = re.findall(r"^\$ oc apply -k (\S+)", (ROOT / page).read_text(), re.MULTILINE)
    (kind,) = (place for place, tree in enumerate(applied) if tree.endswith("manifests/crds"))
    assert kind < applied.index(router)


def test_the_overlay_of_ones_own_allows_what_it_says(tmp_path: Path) -> None:
    """The pool of the example is within its allowed ports, made without an edit of the trees; its Routes are admitted."""
    page = ROOT / "docs" / "install.md"
    checkout = tmp_path / "openshift-tcp-router"
    shutil.copytree(MANIFESTS, checkout / "manifests")
    overlay = tmp_path / "mine"
    overlay.mkdir()
    (kustomization,) = (text for text in blocks(page, "yaml") if "kind: Kustomization" in text)
    (overlay / "kustomization.yaml").write_text(kustomization)
    objects = list(yaml.safe_load_all(rendered(overlay)))
    env = environment_of(objects)
    allowed, pool = (
        PortRangesType().convert(env[name], None, None) for name in ("TCP_ROUTER_PORTS", "TCP_ROUTER_PORT_POOL")
    )
    assert set(pool) <= set(allowed)
    assert "TCP_ROUTER_PUBLISH_SERVICE" in env
    route = one(render("demo"), "Route", "web")
    route["metadata"]["annotations"]["haproxy.router.openshift.io/external-tcp-port"] = "20049"
    (row,) = checked(yaml.safe_dump(route), env)
    assert (row["port"], row["verdict"], row["host"]) == (20049, "admitted", None)
    assert {path: path.read_bytes() for path in checkout.rglob("*.yaml")} == {
        checkout / "manifests" / path.relative_to(MANIFESTS): path.read_bytes() for path in MANIFESTS.rglob("*.yaml")
    }
