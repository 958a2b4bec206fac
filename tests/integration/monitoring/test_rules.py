"""Prometheus takes the alerts, and they fire when they should; they and the dashboard ask for metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.cluster import http_cluster
from tests.support.kustomize import MANIFESTS, one, render
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.programs import requires_program
from tests.support.router_process import http_get
from tests.support.waiting import wait_for

COMPONENT = MANIFESTS / "components" / "monitoring"
SHARDS = MANIFESTS / "components" / "monitoring-shard"
TESTS = Path(__file__).with_name("alerts.yaml")
# What Prometheus puts on each series of a PodMonitor; a label of the metric's own with such a name gets a prefix.
TARGET_LABELS = frozenset({"namespace", "pod", "container", "endpoint", "instance", "job"})
METRIC = re.compile(r"\b((?:tcp_router|haproxy)_[a-z0-9_]+)(?:\{([^}]*)\})?")
BY = re.compile(r"\bby \(([^)]*)\)")
LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"")

Labels = Mapping[str, frozenset[str]]


def groups_of(component: Path) -> list[dict[str, Any]]:
    """Give the groups of rules of a component."""
    groups: list[dict[str, Any]] = yaml.safe_load((component / "prometheus-rule.yaml").read_text())["spec"]["groups"]
    return groups


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The rules as Prometheus reads them, out of their object."""
    path = tmp_path / "rules.yaml"
    own = one(render("openshift"), "PrometheusRule")["spec"]["groups"]
    path.write_text(yaml.safe_dump({"groups": [*own, *groups_of(SHARDS)]}))
    return path


def test_rules_are_accepted(rules: Path) -> None:
    """Prometheus can read every rule."""
    done = run_promtool("check", "rules", "--lint-fatal", rules)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should(rules: Path) -> None:
    """The alerts' unit tests pass, each alert has one that makes it fire, and one in which it is quiet."""
    shutil.copy(TESTS, rules.parent)
    done = run_promtool("test", "rules", rules.parent / TESTS.name)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = [case for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def run_promtool(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; give what came of it."""
    return subprocess.run(
        [requires_program("promtool"), *args], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def exposition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What ``/metrics`` of a router says that follows an API server and serves a Route."""
    directory = tmp_path_factory.mktemp("monitoring")
    (directory / "policy.yaml").write_text("namespaces: []")
    policy = ("--namespace-max-ports", "5", "--port-policy", str(directory / "policy.yaml"))
    with http_cluster(directory) as cluster:
        cluster.create(*app("db", free_port(), cluster.pod()))
        published = ("--publish-service", f"{cluster.namespace}/tcp-router")
        router = cluster.router(
            "--auto-ports",
            str(free_port()),
            "--claim-ports",
            str(free_port()),
            "--address",
            "pg=192.0.2.10",
            *published,
            *policy,
        ).start()
        router.wait_admitted(f"{cluster.namespace}/db")
        wait_for(lambda: "haproxy_backend_up{" in http_get(router.http_port, "/metrics")[1], "HAProxy's own metrics")
        yield http_get(router.http_port, "/metrics")[1]


@pytest.fixture(scope="module")
def metrics(exposition: str) -> Labels:
    """The names of all series that there are or may be, with the labels that Prometheus stores them with."""
    found: dict[str, frozenset[str]] = {}
    for family in text_string_to_metric_families(exposition):
        own = {label for sample in family.samples for label in sample.labels}
        stored = frozenset(f"exported_{label}" if label in TARGET_LABELS else label for label in own) | TARGET_LABELS
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
        for suffix in suffixes.get(family.type, ("",)):
            found[family.name + suffix] = stored
    return found


def test_exposition_is_accepted(exposition: str) -> None:
    """Prometheus can read what the router says; promtool exits with 1 where it cannot, and with 3 where it only dislikes a name."""
    done = subprocess.run(
        [requires_program("promtool"), "check", "metrics"],
        input=exposition, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in {0, 3}, done.stderr


def queries() -> dict[str, str]:
    """Give each expression of the rules and of the dashboard, by where it is."""
    groups = [*groups_of(COMPONENT), *groups_of(SHARDS)]
    found = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}
    dashboard = json.loads((COMPONENT / "dashboard.json").read_text())
    for row in dashboard["rows"]:
        for panel in row["panels"]:
            for target in panel["targets"]:
                found[f"{row['title']}: {panel['title']} {target['refId']}"] = target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found[f"variable {variable['name']}"] = variable["query"]
    return found


@pytest.mark.parametrize("place", queries())
def test_queries_name_metrics_that_exist(place: str, metrics: Labels) -> None:
    """What rules and panels ask for is what a running router says, by name and by label."""
    query = queries()[place]
    named = METRIC.findall(query)
    assert named, query
    for name, matchers in named:
        assert name in metrics, f"no metric {name}"
        # A counter that has not counted yet has no series, and so no labels to compare with.
        if metrics[name] != TARGET_LABELS:
            assert {*LABEL.findall(matchers)} <= metrics[name], f"{name} has {sorted(metrics[name])}"
    possible = frozenset().union(*(metrics[name] for name, _ in named))
    if possible != TARGET_LABELS:
        assert {label.strip() for group in BY.findall(query) for label in group.split(",")} <= possible


def test_dashboard_is_what_the_console_shows() -> None:
    """The dashboard is in the namespace and has the label that OpenShift's console looks for, with panels of kinds that it has."""
    config_map = one(render("openshift"), "ConfigMap", "tcp-router-dashboard")
    assert config_map["metadata"]["namespace"] == "openshift-config-managed"
    assert config_map["metadata"]["labels"]["console.openshift.io/dashboard"] == "true"
    dashboard = json.loads(config_map["data"]["tcp-router.json"])
    panels = [panel for row in dashboard["rows"] for panel in row["panels"]]
    assert {panel["type"] for panel in panels} <= {"graph", "singlestat", "table"}
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(sum(panel["span"] for panel in row["panels"]) % 12 == 0 for row in dashboard["rows"])


def test_each_alert_is_documented() -> None:
    """docs/monitoring.md has a line for each alert, with its severity."""
    rows = re.findall(
        r"^\| `(Tcp\w+)` \| (\w+) \|", (MANIFESTS.parent / "docs" / "monitoring.md").read_text(), re.MULTILINE
    )
    groups = [*groups_of(COMPONENT), *groups_of(SHARDS)]
    assert rows == [(rule["alert"], rule["labels"]["severity"]) for group in groups for rule in group["rules"]]
