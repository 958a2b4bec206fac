"""Routes whose certificates are in Secrets, on a cluster and in a folder: what clients see, what owners are told, and what the router asks."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Make
from tests.e2e.test_rights import asked, granted, requests_of, rights_of
from tests.e2e.test_runtime import reloads
from tests.support.certificates import Made, make
from tests.support.clients import echoes, tls
from tests.support.cluster import Cluster, http_cluster
from tests.support.kube.rbac import RBAC_FILE, placed
from tests.support.objects import app, may_read_secret, tls_secret
from tests.support.ports import free_port, free_ports
from tests.support.probing import is_refused
from tests.support.router_process import http_get
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

COMPONENT = RBAC_FILE.parents[1] / "components" / "external-certificates" / "rbac.yaml"
HOST = "db.example.com"
SERVED = {"Admitted": "True", "PortClaimed": "True"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP: only there can be seen what the router asks."""
    with http_cluster(tmp_path) as cluster:
        yield cluster


def rights(namespace: str) -> list[dict[str, Any]]:
    """Give the objects of both files, for a router that lives in this namespace."""
    texts = [path.read_text() for path in (RBAC_FILE, COMPONENT)]
    return placed([obj for text in texts for obj in yaml.safe_load_all(text) if obj], namespace, "tcp-router")


def named(name: str, port: int | None, pod: tuple[str, int], secret: str, **tls_fields: str) -> list[dict[str, Any]]:
    """Make an application whose Route names a Secret."""
    fields = {"termination": "edge", "externalCertificate": {"name": secret}, **tls_fields}
    return app(name, port, pod, spec={"host": HOST, "tls": fields})


def secret_of(made: Made, name: str = "db-tls", key: str = "") -> dict[str, Any]:
    """Make a Secret with a certificate, in the namespace of whoever creates it."""
    secret = tls_secret(name, made.pem, key or made.key)
    del secret["metadata"]["namespace"]
    return secret


def grants(cluster: Cluster, *accounts: str, name: str = "db-tls") -> list[dict[str, Any]]:
    """Let accounts read a Secret of the cluster's namespace."""
    return may_read_secret(name, *accounts, namespace=cluster.namespace)


def shows(port: int, made: Made, host: str | None = None) -> bool:
    """Say whether clients of a port see this certificate, and reach the pod."""
    try:
        with tls(port, host) as connection:
            return connection.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(made.pem) and echoes(connection)
    except OSError:
        return False


def replace(cluster: Cluster, *objects: dict[str, Any]) -> None:
    """Put these in the place of those of the same names."""
    for obj in objects:
        cluster.client.delete(obj["kind"], cluster.namespace, obj["metadata"]["name"])
    cluster.create(*objects)


def patched(cluster: Cluster, made: Made) -> None:
    """Renew the certificate in the Secret, as cert-manager does."""
    cluster.client.patch("Secret", cluster.namespace, "db-tls", {"data": secret_of(made)["data"]})


@pytest.mark.timeout(300)
def test_life_of_a_certificate_in_a_secret(cluster: Cluster) -> None:
    """It is served and renewed without a reload while both accounts may read it, and never another in its place; by its name alone it is asked for."""
    assert cluster.server is not None
    first, second, fallback = make(HOST), make(HOST), make("default.example.com")
    default = cluster.directory / "default.pem"
    default.write_text(fallback.pem + fallback.key)
    port, plain = free_ports(2)
    own, router_account = f"{cluster.namespace}:tcp-router", "openshift-ingress:router"
    cluster.create(*named("db", port, cluster.pod(), "db-tls"), *app("plain", plain, cluster.pod()))
    # Nobody has made it yet, or granted anything.
    router = cluster.router(
        "--sni-port", "0", "--default-certificate", str(default), rights=rights(cluster.namespace)
    ).start()
    cluster.wait_for_conditions("plain", **SERVED)
    condition = cluster.wait_for_conditions("db", Admitted="False")["Admitted"]
    assert condition["reason"] == "ExternalCertificateValidationFailed"
    assert "system:serviceaccount:openshift-ingress:router may not get" in condition["message"]

    replace(cluster, *grants(cluster, router_account, own))
    missing = wait_for(
        lambda: "there is no Secret" in cluster.conditions("db")["Admitted"]["message"], "it to be missed", 40
    )
    assert missing
    cluster.create(secret_of(first))
    cluster.wait_for_conditions("db", **SERVED)
    wait_for(lambda: shows(port, first), "the certificate to be served")
    before = reloads(router)
    with tls(port, None) as held:
        assert echoes(held)
        patched(cluster, second)
        wait_for(lambda: shows(port, second), "the renewed certificate")
        assert echoes(held)
    assert reloads(router) == before
    event = wait_for(
        lambda: next(
            (
                each
                for each in cluster.client.list("Event", cluster.namespace)
                if each["reason"] == "CertificateTaken" and each["regarding"]["name"] == "db"
            ),
            None,
        ),
        "an Event of the new certificate",
    )
    assert event is not None

    cluster.client.delete("Secret", cluster.namespace, "db-tls")
    cluster.wait_for_conditions("db", Admitted="False")
    wait_for(lambda: is_refused(port), "the port to be closed")
    cluster.create(secret_of(first, key=second.key))
    wait_for(lambda: cluster.conditions("db")["Admitted"]["reason"] == "ExtendedValidationFailed", "the wrong key")
    patched(cluster, first)
    wait_for(lambda: shows(port, first), "the certificate to be served again")

    requests = requests_of(cluster.server, router)
    of_secrets = [each for each in requests if "secrets" in each.path]
    assert of_secrets
    for each in of_secrets:
        assert each.path.endswith("/secrets/db-tls") or each.query["fieldSelector"] == "metadata.name=db-tls"
    # Beside what the Secret's owner grants, the component is used to its whole, and nothing else is needed.
    used = rights_of(each for each in requests if each not in of_secrets)
    assert granted([COMPONENT]) <= used <= granted([RBAC_FILE, COMPONENT])
    assert {asked(each).verb for each in of_secrets} <= {"get", "list", "watch"}
    assert [each for each in requests if each.status in {401, 403} and each not in of_secrets] == []
    router.stop()
    log = router.log() + router.traffic()
    for made in (first, second, fallback):
        assert not [line for line in made.key.splitlines()[1:-1] if line in log]


def test_in_a_folder(make_router: Make, echo: TcpServer) -> None:
    """Secrets beside the Routes: served, renewed without a reload, by name on the SNI port too; what is lacking is in /ports."""
    first, second = make(HOST), make(HOST)
    port, sni_port = free_port(), free_port()
    pod = (echo.address, echo.port)
    router = make_router(sni_port=sni_port)
    router.write("own.yaml", *named("own", port, pod, "db-tls"))
    router.write("sni.yaml", *named("sni", None, pod, "db-tls"))
    router.write("broken.yaml", *named("broken", free_port(), pod, "opaque"))
    router.write("opaque.yaml", tls_secret("opaque", first.pem, first.key, kind="Opaque"))
    router.start()
    row = router.wait_for_row("team/own", lambda row: row["verdict"] == "rejected", "rejected")
    assert row["reason"] == "ExternalCertificateValidationFailed"
    assert router.wait_for_row("team/broken", lambda row: row["reason"], "rejected")["message"].endswith(
        "cannot be used: its type is not kubernetes.io/tls"
    )
    router.write("secret.yaml", tls_secret("db-tls", first.pem, first.key))
    for name in ("team/own", "team/sni"):
        router.wait_admitted(name)
    wait_for(lambda: shows(port, first) and shows(sni_port, first, HOST), "both to be served")
    before = reloads(router)
    router.write("secret.yaml", tls_secret("db-tls", second.pem, second.key))
    wait_for(lambda: shows(port, second) and shows(sni_port, second, HOST), "both to show the renewed one")
    assert reloads(router) == before
    (router.manifests / "secret.yaml").unlink()
    router.wait_for_row("team/own", lambda row: row["verdict"] == "rejected", "rejected")
    wait_for(lambda: is_refused(port), "the port to be closed")
    pages = "".join(http_get(router.http_port, page)[1] for page in ("/ports", "/metrics"))
    for made in (first, second):
        assert not [line for line in made.key.splitlines()[1:-1] if line in pages + router.log()]


def test_the_end_of_a_certificate_is_told(cluster: Cluster) -> None:
    """By an Event of the Route and a warning in /ports, of one that is served all the same; a renewed one ends it."""
    late, port = make(HOST, days=-1, since_days=9), free_port()
    cluster.create(*named("db", port, cluster.pod(), "db-tls"), secret_of(late))
    cluster.create(*grants(cluster, "openshift-ingress:router", f"{cluster.namespace}:tcp-router"))
    router = cluster.router("--sni-port", "0", rights=rights(cluster.namespace)).start()
    cluster.wait_for_conditions("db", **SERVED)

    def told() -> list[dict[str, Any]]:
        return [
            each for each in cluster.client.list("Event", cluster.namespace) if each["reason"] == "CertificateExpired"
        ]

    wait_for(told, "the Event")
    assert told()[0]["type"] == "Warning"
    assert told()[0]["regarding"]["name"] == "db"
    row = f"{cluster.namespace}/db"
    router.wait_for_row(row, lambda row: row["warnings"], "warned of")
    assert shows(port, late)
    patched(cluster, make(HOST))
    router.wait_for_row(row, lambda row: not row["warnings"], "without a warning")
