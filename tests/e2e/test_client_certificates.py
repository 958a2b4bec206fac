"""Clients that show certificates, on a cluster: the ConfigMap that says whose, from its creation to its end."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import yaml

from router.admission.options import PREFIX
from tests.support.certificates import Made, make
from tests.support.client_certificates import authority, context_of, speaking
from tests.support.clients import echoes
from tests.support.cluster import http_cluster
from tests.support.kube.rbac import placed, rbac_objects
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.probing import is_refused
from tests.support.waiting import wait_for

COMPONENT = Path(__file__).parents[2] / "manifests" / "components" / "client-certificates" / "rbac.yaml"


def _config_map(bundle: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "clients"}, "data": {"ca-bundle.crt": bundle}}


def test_from_the_config_map_to_the_client(tmp_path: Path) -> None:
    """It is needed, and read by the rights of the component; another CA in it holds at once, and without it nobody gets in."""
    ours, others, shown = authority("ours"), authority("others"), make("db.example.com")
    alice, mallory = make("alice", signed_by=ours), make("mallory", signed_by=others)
    port = free_port()
    with http_cluster(tmp_path) as cluster:
        tls = {"termination": "edge", "certificate": shown.pem, "key": shown.key}
        objects = app("db", port, cluster.pod(), spec={"tls": tls})
        objects[0]["metadata"]["annotations"][f"{PREFIX}client-ca"] = "clients"
        cluster.create(*objects)
        component = placed(yaml.safe_load_all(COMPONENT.read_text()), cluster.namespace, "tcp-router")
        rights = [*rbac_objects(cluster.namespace, "tcp-router"), *component]
        cluster.router("--sni-port", "0", rights=rights).start()
        cluster.wait_for_conditions("db", Admitted="False")
        cluster.create(_config_map(ours.pem))
        cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")

        def let_in(*clients: Made | None) -> list[bool]:
            return [_echoes(port, each) for each in clients]

        wait_for(lambda: let_in(alice, mallory, None) == [True, False, False], "those of our CA")
        cluster.client.patch("ConfigMap", cluster.namespace, "clients", {"data": {"ca-bundle.crt": others.pem}})
        wait_for(lambda: let_in(alice, mallory, None) == [False, True, False], "those of the other CA")
        cluster.client.delete("ConfigMap", cluster.namespace, "clients")
        wait_for(lambda: is_refused(port), "the port to be closed")
        cluster.wait_for_conditions("db", Admitted="False")


def _echoes(port: int, made: Made | None) -> bool:
    with contextlib.suppress(OSError), speaking(context_of(made), port, None) as connection:
        return echoes(connection)
    return False
