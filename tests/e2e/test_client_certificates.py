"""Clients that show certificates, on a cluster: the ConfigMap that says whose, from its creation to its end."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.admission.options import PREFIX
from tests.e2e.conftest import Make
from tests.e2e.test_runtime import reloads
from tests.support.certificates import Made, make
from tests.support.client_certificates import authority, context_of, speaking
from tests.support.clients import echoes, served
from tests.support.cluster import http_cluster
from tests.support.kube.rbac import placed, rbac_objects
from tests.support.objects import app
from tests.support.ports import free_port, free_ports
from tests.support.probing import is_refused
from tests.support.servers import TcpServer
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


def _echoes(port: int, made: Made | None, host: str | None = None) -> bool:
    with contextlib.suppress(OSError), speaking(context_of(made), port, host) as connection:
        return echoes(connection)
    return False


def test_on_the_sni_port(make_router: Make, echo: TcpServer) -> None:
    """Without a reload, by a socket of the pool; beside a Route that asks for nothing, and one line of the log for each connection."""
    ours, shown, other = authority("ours"), make("a.example.com"), make("b.example.com")
    alice, sni_port = make("alice", signed_by=ours), free_port()
    router = make_router("--mtls-pool", "2", "--sni-pool", "4", sni_port=sni_port)
    pod = (echo.address, echo.port)

    def edge(name: str, made: Made, **annotations: str) -> list[dict[str, Any]]:
        tls = {"termination": "edge", "certificate": made.pem, "key": made.key}
        objects = app(name, None, pod, spec={"host": f"{name}.example.com", "tls": tls})
        objects[0]["metadata"]["annotations"] |= {PREFIX + key: value for key, value in annotations.items()}
        return objects

    def let_in(host: str, *clients: Made | None) -> list[bool]:
        return [_echoes(sni_port, each, f"{host}.example.com") for each in clients]

    def lines_of(route: str) -> list[str]:
        return [
            line for line in router.traffic().splitlines() if f"route={route}" in line or f'"route":"{route}"' in line
        ]

    router.write("b.yaml", *edge("b", other))
    router.start()
    router.wait_admitted("team/b")
    before = reloads(router)
    config_map = {**_config_map(ours.pem), "metadata": {"name": "clients", "namespace": "team"}}
    router.write("a.yaml", config_map, *edge("a", shown, **{"client-ca": "clients", "ip_allowlist": "127.0.0.1"}))
    router.wait_admitted("team/a")
    assert let_in("a", alice, None) == [True, False]
    assert let_in("b", alice, None) == [True, True]
    assert reloads(router) == before
    wait_for(lambda: lines_of("a"), "its line")
    lines = lines_of("a")
    assert len(lines) == 1, lines
    (router.manifests / "a.yaml").unlink()
    wait_for(lambda: let_in("a", alice, None) == [False, False], "its end")
    assert let_in("b", None) == [True]
    assert reloads(router) == before
    router.stop()


def test_of_all_routes(make_router: Make, echo: TcpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variables of OpenShift's router; on a port of its own and by name, and none of Routes whose TLS is their pods'."""
    ours, others, own = authority("ours"), authority("others"), authority("own")
    alice, bob = make("alice", signed_by=ours), make("bob", signed_by=ours)
    mallory, carol = make("mallory", signed_by=others), make("carol", signed_by=own)
    bundle = tmp_path / "clients.pem"
    bundle.write_text(ours.pem)
    for name, value in {"": "required", "_CA": str(bundle), "_FILTER": "CN=(alice|mallory)$"}.items():
        monkeypatch.setenv(f"ROUTER_MUTUAL_TLS_AUTH{name}", value)
    sni_port = free_port()
    router = make_router(sni_port=sni_port)
    plain, port, with_own = free_ports(3)
    pod = (echo.address, echo.port)

    def edge(name: str, at: int | None) -> list[dict[str, Any]]:
        made = make(f"{name}.example.com")
        tls = {"termination": "edge", "certificate": made.pem, "key": made.key}
        return app(name, at, pod, spec={"host": f"{name}.example.com", "tls": tls})

    routes = [*edge("port", port), *edge("name", None), *app("plain", plain, pod)]
    chosen = edge("chosen", with_own)
    chosen[0]["metadata"]["annotations"][f"{PREFIX}client-ca"] = "clients"
    config_map = {**_config_map(own.pem), "metadata": {"name": "clients", "namespace": "team"}}
    router.write("all.yaml", *routes, *chosen, config_map)
    router.start()
    for name in ("port", "name", "plain", "chosen"):
        router.wait_admitted(f"team/{name}")
    clients = (alice, bob, mallory, carol, None)

    def let_in(at: int, host: str | None = None) -> list[bool]:
        return [_echoes(at, each, host) for each in clients]

    wait_for(lambda: let_in(port) == [True, False, False, False, False], "the filter")
    assert let_in(sni_port, "name.example.com") == [True, False, False, False, False]
    assert let_in(with_own) == [False, False, False, True, False]
    assert served(plain)
    bundle.write_text(others.pem)
    wait_for(lambda: let_in(port) == [False, False, True, False, False], "another CA")
    wait_for(lambda: let_in(sni_port, "name.example.com") == [False, False, True, False, False], "another CA by name")
    bundle.write_text("broken")
    wait_for(lambda: "tls file not used" in router.log(), "the log to say so")
    assert let_in(port) == [False, False, True, False, False]
    router.stop()
