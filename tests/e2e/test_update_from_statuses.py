"""Replicas of the version before PortClaims and of this one beside each other, as while a Deployment is updated: nothing changes hands."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_claims import another_second, claims, wait_for_claim
from tests.support.cluster import Cluster, ClusterRouter, http_cluster
from tests.support.commands import invoke
from tests.support.objects import app, route
from tests.support.ports import free_port
from tests.support.probing import exchange
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
BEFORE = "3edee87834d7ed50354921f22d4d6075901d1357"
"""The last commit that went by statuses."""
ADMITTED = {"Admitted": "True", "PortClaimed": "True"}
REFUSED = {"Admitted": "False"}
# Each replica is a node of its own.
OLD, NEW = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP, with the CRD of PortClaims."""
    with http_cluster(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the version before."""
    found = subprocess.run(
        ["git", "-C", ROOT, "archive", BEFORE, "router", "templates"], capture_output=True, check=False
    )
    if found.returncode:
        pytest.skip("needs the history of the repository, for the version before")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=BytesIO(found.stdout)) as archive:
        if hasattr(tarfile, "data_filter"):  # The first versions of Python 3.11 have none.
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)  # noqa: S202 - what git made of this repository
    return folder


class FormerRouter(ClusterRouter):
    """A replica of the version before."""

    package: Path

    def command(self) -> list[str]:
        """Give the command line: as ever, with the other package."""
        return ["env", "-C", str(self.package), sys.executable, *super().command()[1:]]


def start_former(cluster: Cluster, package: Path) -> FormerRouter:
    """Start a replica of the version before."""
    router = cluster.router("--sni-port", "0", "--bind-address", OLD)
    router.__class__ = FormerRouter
    assert isinstance(router, FormerRouter)
    router.package = package
    router.start()
    return router


def start_new(cluster: Cluster) -> ClusterRouter:
    """Start a replica of this version, as our manifests do."""
    router = cluster.router("--sni-port", "0", "--bind-address", NEW, "--claims", "required")
    router.start()
    assert isinstance(router, ClusterRouter)
    return router


def statuses(cluster: Cluster, *names: str) -> dict[str, Any]:
    """Give what the statuses of Routes say, with their times."""
    return {name: cluster.route(name).get("status") for name in names}


def test_an_update_changes_nothing(cluster: Cluster, former: Path, tmp_path: Path) -> None:
    """The holder of a port has it on both, though another Route is older; whichever leads, and after the leader is another. Statuses stay as they were."""
    port, other = free_port(), free_port()
    cluster.create(route("old", free_port(), service="db"))
    another_second(cluster, "old")
    cluster.create(*app("db", port, cluster.pod(b"db:")))
    before = start_former(cluster, former)
    cluster.wait_for_conditions("db", **ADMITTED)
    cluster.create(route("wants", port, service="db"))
    ask = {"metadata": {"annotations": {"haproxy.router.openshift.io/external-tcp-port": str(port)}}}
    cluster.client.patch("Route", cluster.namespace, "old", ask)
    cluster.wait_for_conditions("old", **REFUSED)
    assert claims(cluster) == {}

    served = tmp_path / "served.json"
    served.write_text(invoke("ports", "--address", f"127.0.0.1:{before.http_port}", "--output", "json").stdout)
    assert cluster.server is not None
    admin = str(cluster.server.kubeconfig(tmp_path, "admin"))
    adopted = invoke(
        "claims", "adopt", "--kubeconfig", admin, "--namespace", cluster.namespace,
        "--lease-namespace", cluster.namespace, "--served", str(served), "--ports", "1-65535",
    )  # fmt: skip
    assert (adopted.exit_code, adopted.stderr) == (0, "")
    assert set(claims(cluster)) == {f"tcp-router-{port}"}
    said = statuses(cluster, "db", "old")

    # The former one leads, and writes statuses alone.
    after = start_new(cluster)
    assert exchange(port, address=NEW) == exchange(port, address=OLD) == b"db:ping"
    cluster.create(route("fresh", other, service="db"))
    cluster.wait_for_conditions("fresh", **ADMITTED)
    wait_for(
        lambda: exchange(other, address=NEW) == exchange(other, address=OLD) == b"db:ping", "the new Route on both"
    )
    assert set(claims(cluster)) == {f"tcp-router-{port}"}
    assert statuses(cluster, "db", "old") == said

    # The new one leads, beside a former one that begins.
    before.stop()
    wait_for_claim(cluster, f"tcp-router-{other}", f"Route {cluster.namespace}/fresh")
    start_former(cluster, former)
    for address in (OLD, NEW):
        assert exchange(port, address=address) == exchange(other, address=address) == b"db:ping"
    assert statuses(cluster, "db", "old") == said
    assert "db" in str(claims(cluster)[f"tcp-router-{port}"]["spec"]["holder"])
    after.stop()
