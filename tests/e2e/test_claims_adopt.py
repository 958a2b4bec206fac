"""``tcp-router claims adopt``: PortClaims of what statuses say, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_server import ApiServer
from tests.support.commands import invoke
from tests.support.objects import ANNOTATIONS, route, service

NAMESPACE = "openshift-ingress"
SINCE = "2026-01-01T00:00:00Z"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with Routes that say that they hold ports, one of them what another says, too."""
    with ApiServer() as server:
        server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        server.create(told("db", 6620))
        server.create(told("web", 6621))
        server.create(told("forged", 6621))
        server.create(route("new", 6622))
        yield server


def told(name: str, port: int) -> dict[str, Any]:
    """Make a Route whose status says that it holds a port."""
    conditions = [
        {"type": "Admitted", "status": "True"},
        {"type": "PortClaimed", "status": "True", "message": str(port)},
    ]
    return {**route(name, port), "status": {"ingress": [{"routerName": "tcp-router", "conditions": conditions}]}}


def claims(api: ApiServer) -> dict[str, str]:
    """Give the holders by the claims' names."""
    return {each["metadata"]["name"]: each["spec"]["holder"]["name"] for each in api.list("PortClaim")}


def adopt(api: ApiServer, directory: Path, *options: str) -> tuple[int, str, str]:
    """Run the command; give exit status, standard output and standard error."""
    done = invoke("claims", "adopt", "--kubeconfig", api.kubeconfig(directory), *options)
    return done.exit_code, done.stdout, done.stderr


def test_statuses_become_claims(api: ApiServer, tmp_path: Path) -> None:
    """What one Route says alone is written; what two say is told, and left to the admin."""
    code, out, problems = adopt(api, tmp_path, "--dry-run")
    assert (code, claims(api)) == (1, {})
    assert out == "adopted: tcp-router-6620: port 6620: Route team/db\n"
    code, again, _ = adopt(api, tmp_path)
    assert (code, again, claims(api)) == (1, out, {"tcp-router-6620": "db"})
    assert "doubtful: port 6621: Route team/forged, Route team/web: each says" in problems
    uid = (api.get("Route", "team", "db") or {})["metadata"]["uid"]
    assert (api.get("PortClaim", NAMESPACE, "tcp-router-6620") or {})["spec"]["holder"]["uid"] == uid
    # What is written is not asked of statuses again.
    assert adopt(api, tmp_path)[1] == ""


def test_services_that_ask_are_taken_over(api: ApiServer, tmp_path: Path) -> None:
    """By their condition, each of their ports; one that says it of a port of somebody else, or of one that it does not ask for, is told or passed over."""
    api.create(told_service("pg", "pg=7001 metrics=7002", "has pg=7001 metrics=7002"))
    api.create(told_service("single", "7003", "has 7003; second: port 1 is reserved"))
    api.create(told_service("other", "7004", "has 7005"))
    api.create(told_service("thief", "6620", "has 6620"))
    code, out, problems = adopt(api, tmp_path)
    assert code == 1
    assert out.splitlines() == [
        "adopted: tcp-router-7001: port 7001: Service team/pg port pg",
        "adopted: tcp-router-7002: port 7002: Service team/pg port metrics",
        "adopted: tcp-router-7003: port 7003: Service team/single",
    ]
    assert "doubtful: port 6620: Route team/db, Service team/thief: each says that it holds this" in problems
    rows = [
        {"kind": "Service", "namespace": "team", "name": "thief", "port": 6620, "verdict": "rejected"},
        {"namespace": "team", "name": "db", "port": 6620, "verdict": "admitted"},
    ]
    (tmp_path / "served.json").write_text(json.dumps(rows))
    assert adopt(api, tmp_path, "--served", str(tmp_path / "served.json"))[1].startswith("adopted: tcp-router-6620")


def told_service(name: str, ports: str, said: str) -> dict[str, Any]:
    """Make a Service that asks for ports, whose condition says that it has some."""
    made = service(name)
    made["metadata"]["annotations"] = {
        f"{ANNOTATIONS}router-name": "tcp-router",
        f"{ANNOTATIONS}external-tcp-port": ports,
    }
    named = [pair.partition("=")[0] for pair in ports.split(" ")] if "=" in ports else ["tcp"]
    made["spec"]["ports"] = [
        {"name": each, "port": 5432 + number, "protocol": "TCP"} for number, each in enumerate(named)
    ]
    condition = {"type": "tcp-router.openshift.io/Admitted", "status": "True", "reason": "Admitted"}
    made["status"] = {"conditions": [{**condition, "message": f"tcp-router: {said}", "lastTransitionTime": SINCE}]}
    return made


def test_who_has_nothing_to_take_over_is_told(api: ApiServer, tmp_path: Path) -> None:
    """Where it was looked for: a router of another name has nothing, and no holder has another uid."""
    code, out, problems = adopt(api, tmp_path, "--router-name", "wrong")
    assert (code, out) == (0, "")
    assert (
        "nothing to adopt: 0 Routes and Services ask for router wrong, and their statuses say nothing beyond the 0 PortClaims of ledger wrong"
    ) in problems
    code, out, problems = adopt(api, tmp_path, "--by-name")
    assert (code, out) == (0, "")
    assert "nothing to bind" in problems


def test_a_cluster_without_the_kind_is_told_how_to_have_it(api: ApiServer, tmp_path: Path) -> None:
    """Who forgot the first step reads which one it was, not a bare 404."""
    api.faults.fail("GET", "/apis/tcp-router.openshift.io/", 404)
    code, _, problems = adopt(api, tmp_path)
    assert code == 2
    assert "no PortClaims (tcp-router.openshift.io/v1alpha1): apply manifests/crds, then try again" in problems


def test_what_the_running_router_serves_tells_the_forged(api: ApiServer, tmp_path: Path) -> None:
    """Of two that say the same, the one that is served; and one that says it alone, and is not served, is told."""
    rows = [
        {"namespace": "team", "name": "web", "port": 6621, "verdict": "admitted"},
        {"namespace": "team", "name": "forged", "port": 6621, "verdict": "rejected"},
    ]
    served = tmp_path / "served.json"
    served.write_text(json.dumps(rows))
    code, _, problems = adopt(api, tmp_path, "--served", str(served))
    assert (code, claims(api)) == (1, {"tcp-router-6621": "web"})
    assert "doubtful: port 6620: Route team/db: says that it holds this, and no running router serves it so" in problems
    assert "doubtful: port 6621: Route team/forged" in problems


def test_claims_are_bound_by_name_after_a_restore(api: ApiServer, tmp_path: Path) -> None:
    """An object that was restored has another uid; its claim is made anew with it, and one whose holder asks for something else is left."""
    api.delete("Route", "team", "forged")
    assert adopt(api, tmp_path)[0] == 0
    for name, port in (("db", 6620), ("web", 7000)):
        api.delete("Route", "team", name)
        api.create(route(name, port))
    assert adopt(api, tmp_path, "--by-name", "--dry-run")[1] == "bound: tcp-router-6620: port 6620: Route team/db\n"
    before = {each["metadata"]["name"]: each for each in api.list("PortClaim")}
    assert adopt(api, tmp_path, "--by-name")[0] == 0
    after = {each["metadata"]["name"]: each for each in api.list("PortClaim")}
    assert after["tcp-router-6621"] == before["tcp-router-6621"]
    assert after["tcp-router-6620"]["metadata"]["generation"] == 1
    assert (
        after["tcp-router-6620"]["spec"]["holder"]["uid"] == (api.get("Route", "team", "db") or {})["metadata"]["uid"]
    )
