"""What a cluster is told of ports of named addresses: statuses, PortClaims, and the router's own pod."""

from __future__ import annotations

from typing import Any

import yaml

from tests.support.cluster import Cluster
from tests.support.kube.rbac import RBAC_FILE, placed
from tests.support.kustomize import MANIFESTS
from tests.support.objects import ANNOTATIONS, app
from tests.support.ports import free_port
from tests.support.probing import exchange, is_refused
from tests.support.waiting import wait_for

HERE, ELSEWHERE = "127.0.0.5", "192.0.2.77"
COMPONENT = MANIFESTS / "components" / "addresses" / "rbac.yaml"
REPORTED = "tcp-router.openshift.io/addresses"
Object = dict[str, Any]


def rights(cluster: Cluster) -> list[Object]:
    """Give what base and the component give."""
    files = (RBAC_FILE, COMPONENT)
    return placed(
        [obj for path in files for obj in yaml.safe_load_all(path.read_text())], cluster.namespace, "tcp-router"
    )


def test_addresses_are_told(cluster: Cluster) -> None:
    """A Route's status and its PortClaim say the address; a replica says on its pod what its node has; whose namespace may not use it is told."""
    port = free_port()
    cluster.client.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "router-a",
                "namespace": cluster.namespace,
                "labels": {"app.kubernetes.io/name": "tcp-router"},
            },
            "spec": {"containers": [{"name": "router", "image": "tcp-router"}]},
        }
    )
    cluster.create(*app("db", port, cluster.pod(), annotations={f"{ANNOTATIONS}external-address": "pg"}))
    cluster.create(*app("kept-out", port, cluster.pod(), annotations={f"{ANNOTATIONS}external-address": "billing"}))
    router = cluster.router(
        "--address", f"pg={HERE}", "--address", f"billing={ELSEWHERE}", "--address-default-allowed", "pg",
        "--pod-name", "router-a", rights=rights(cluster),
    ).start()  # fmt: skip
    conditions = cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    assert conditions["PortClaimed"]["message"] == f"{port} on address pg"
    assert exchange(port, address=HERE) == b"ping"
    assert is_refused(port)
    told = cluster.wait_for_conditions("kept-out", Admitted="False")
    assert told["Admitted"]["reason"] == "AddressNotAllowed"

    def claims() -> list[tuple[int, str, str]]:
        listed = cluster.client.list("PortClaim", cluster.namespace)
        return [
            (each["spec"]["port"], each["spec"].get("address", ""), each["spec"]["holder"]["name"]) for each in listed
        ]

    wait_for(lambda: claims() == [(port, "pg", "db")], "the claim of the address")

    def reported() -> str | None:
        pod = cluster.client.get("Pod", cluster.namespace, "router-a")
        assert pod is not None
        told: str | None = pod["metadata"].get("annotations", {}).get(REPORTED)
        return told

    wait_for(lambda: reported() == HERE, "the pod to say which address its node has")
    # Back to all addresses: its own claim of the one is given up.
    cluster.client.patch(
        "Route", cluster.namespace, "db", {"metadata": {"annotations": {f"{ANNOTATIONS}external-address": None}}}
    )
    wait_for(lambda: claims() == [(port, "", "db")], "the claim of all addresses", 40)
    router.stop()
    assert cluster.server is None or not [each for each in cluster.server.requests if each.status == 403]
