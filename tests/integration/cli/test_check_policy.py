"""What ``check`` and ``render`` make of the policies of namespaces: manifests of Namespaces, a file, and options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.commands import invoke, write_manifests
from tests.support.objects import ANNOTATIONS, app

NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "team",
        "labels": {"tier": "gold"},
        "annotations": {f"{ANNOTATIONS}tcp-ports": "6620-6629", f"{ANNOTATIONS}tcp-ports-max": "1"},
    },
}


def reasons(folder: Path, *options: str) -> dict[str, str | None]:
    """Give why Routes are rejected, by name."""
    rows: list[dict[str, Any]] = json.loads(invoke("check", folder, "--output", "json", *options).stdout)
    return {row["name"]: row["reason"] for row in rows}


def test_check_says_what_the_router_would(tmp_path: Path) -> None:
    """By the Namespace's own words; by a file, which wins; by the options where nothing else is said; and by none of it."""
    folder = write_manifests(
        tmp_path / "manifests",
        NAMESPACE,
        *app("a", 6620, ("10.1.0.1", 1)),
        *app("b", 6621, ("10.1.0.1", 1)),
        *app("c", 7000, ("10.1.0.1", 1)),
    )
    own = {"a": None, "b": "PortQuotaExceeded", "c": "PortNotAllowed"}
    assert reasons(folder) == own
    file = tmp_path / "policy.yaml"
    file.write_text("namespaces: [{selector: tier=gold, tcp-ports: 7000, tcp-ports-max: 5}]")
    assert reasons(folder, "--port-policy", str(file)) == {"a": "PortNotAllowed", "b": "PortNotAllowed", "c": None}
    assert reasons(folder, "--no-namespace-policy") == {"a": None, "b": None, "c": None}
    assert reasons(folder, "--no-namespace-policy", "--namespace-max-ports", "2") == {
        "a": None,
        "b": None,
        "c": "PortQuotaExceeded",
    }
    assert set(reasons(folder, "--no-namespace-policy", "--namespace-ports", "none").values()) == {"PortNotAllowed"}


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    """With the place in it; what would be admitted without it is nobody's question."""
    folder = write_manifests(tmp_path / "manifests", *app("a", 6620, ("10.1.0.1", 1)))
    file = tmp_path / "policy.yaml"
    file.write_text("namespaces:\n- selector: a\n  tcp-port: 1")
    for command in ("check", "render"):
        ended = invoke(command, folder, "--port-policy", file)
        assert ended.exit_code == 2
        assert 'policy.yaml:2:3: namespaces[0]: "tcp-port" is no key of an entry' in ended.stderr
        assert not ended.stdout
