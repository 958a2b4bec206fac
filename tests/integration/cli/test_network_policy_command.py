"""``tcp-router network-policy``, of manifests and against an API server over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from tests.support.cluster import Cluster, http_cluster, write_kubeconfig
from tests.support.commands import invoke, write_manifests
from tests.support.objects import ANNOTATIONS, route, service


def selecting(name: str, port: int = 5432, **labels: str) -> dict[str, Any]:
    """Make a Service with a selector."""
    made = service(name, port)
    made["spec"]["selector"] = labels or {"app": name}
    return made


def asking(name: str, ports: str) -> dict[str, Any]:
    """Make a Service that asks for ports, of two."""
    made = selecting(name)
    made["metadata"]["annotations"] = {
        f"{ANNOTATIONS}router-name": "another",
        f"{ANNOTATIONS}external-tcp-port": ports,
        f"{ANNOTATIONS}external-address": "vip",
        f"{ANNOTATIONS}balance": "nonsense",
    }
    made["spec"]["ports"] = [
        {"name": "pg", "port": 5432, "targetPort": "pgsql"},
        {"name": "metrics", "port": 9187},
        {"name": "admin", "port": 1},
    ]
    return made


def balanced(name: str) -> dict[str, Any]:
    """Make a Service whose class names a router, which is asked for all of its TCP ports."""
    made = selecting(name)
    made["spec"] |= {
        "type": "LoadBalancer",
        "loadBalancerClass": "tcp-router.openshift.io/mail",
        "ports": [
            {"name": "smtp", "port": 25, "targetPort": 2525},
            {"name": "tls", "port": 465, "targetPort": "smtps"},
            {"name": "dns", "port": 53, "protocol": "UDP"},
        ],
    }
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Manifests of a team."""
    two = {
        "to": {"kind": "Service", "name": "db"},
        "alternateBackends": [{"kind": "Service", "name": "old", "weight": 2}],
    }
    return write_manifests(
        tmp_path / "manifests",
        route("db", 6620, target_port=5432, spec=two),
        route("other", 6621, service="bare"),
        selecting("db"),
        selecting("old", 15432, app="legacy", tier="data"),
        service("bare"),
        asking("mq", "pg=6622 metrics=6623"),
        balanced("smtp"),
        service("unasked"),
    )


def policies(text: str) -> dict[str, dict[str, Any]]:
    """Read what was printed, by name."""
    found = [each for each in yaml.safe_load_all(text) if each]
    for each in found:
        kubernetes_validate.validate(each, "1.29", strict=True)
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    return {each["metadata"]["name"]: each for each in found}


def test_all_askers_of_manifests(folder: Path) -> None:
    """One for each Service that an asker leads to, with its selector and the ports that are led to; who cannot have one is told."""
    ended = invoke("network-policy", folder)
    assert ended.exit_code == 1
    assert ended.stderr.splitlines() == [
        (
            "Error: Route team/other: Service team/bare has no selector, so that there are no pods for a policy to select; "
            "whoever wrote its endpoints knows what is behind them"
        )
    ]
    found = policies(ended.stdout)
    assert {
        name: (
            each["spec"]["podSelector"]["matchLabels"],
            [port["port"] for port in each["spec"]["ingress"][0]["ports"]],
        )
        for name, each in found.items()
    } == {
        "allow-tcp-router-to-db-db": ({"app": "db"}, [5432]),
        "allow-tcp-router-to-db-old": ({"app": "legacy", "tier": "data"}, [5432]),
        "allow-tcp-router-to-service-mq": ({"app": "mq"}, [9187, "pgsql"]),
        "allow-tcp-router-to-service-smtp": ({"app": "smtp"}, [2525, "smtps"]),
    }
    assert {str(each["metadata"]["namespace"]) for each in found.values()} == {"team"}


def test_one_asker_of_manifests(folder: Path) -> None:
    """By its name, with its kind or without; whom the router's pods are known by, an option says."""
    by_pods = invoke(
        "network-policy", folder, "team/mq", "--router-pod-selector", "a=b,c in (d,e)", "--router-namespace", "tcp"
    )
    assert by_pods.exit_code == 0
    peer = policies(by_pods.stdout)["allow-tcp-router-to-service-mq"]["spec"]["ingress"][0]["from"]
    assert peer == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tcp"}},
            "podSelector": {
                "matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "c", "operator": "In", "values": ["d", "e"]}],
            },
        }
    ]
    on_host = invoke("network-policy", "Service/team/mq", folder, "--host-network")
    assert policies(on_host.stdout)["allow-tcp-router-to-service-mq"]["spec"]["ingress"][0]["from"] == [
        {"namespaceSelector": {"matchLabels": {"network.openshift.io/policy-group": "ingress"}}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-ingress"}}},
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("team/none",), 1, "team/none is not in these manifests"),
        (("route/team/mq",), 1, "team/mq is not in these manifests"),
        (("team/unasked",), 1, "the Service asks for no port"),
        (("nonsense",), 2, "'nonsense' is no file or folder, and no asker: NAMESPACE/NAME"),
        (("pod/team/db",), 2, "where KIND is route or service"),
        (("team/..",), 2, "is no file or folder, and no asker"),
        (("team/db", "--router-pod-selector", ""), 2, "is nothing that a NetworkPolicy can say"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_what_cannot_be_printed(folder: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    """Is said on standard error, in a line."""
    ended = invoke("network-policy", folder, *arguments)
    assert ended.exit_code == code
    assert said in ended.stderr
    assert ended.stdout == ""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP."""
    with http_cluster(tmp_path) as cluster:
        yield cluster


CLAIM = """\
apiVersion: porter.devops.gov.bc.ca/v1alpha1
kind: TransportServerClaim
metadata:
  name: yourservice-tsc
  namespace: yourlicenceplate-dev
spec:
  monitor:
    interval: 10
    timeout: 10
    type: tcp
  service: yourservice
  servicePort: 8000
"""
"""As teams of an installation with F5 appliances are told to write it."""


def yourservice(namespace: str = "yourlicenceplate-dev") -> dict[str, Any]:
    """Make the Service of that claim, which leads to another port of its pods."""
    made = service("yourservice", 8000, namespace=namespace)
    made["spec"]["selector"] = {"name": "yourappslabel"}
    made["spec"]["ports"][0]["targetPort"] = 8080
    return made


def test_a_claim_of_manifests(tmp_path: Path) -> None:
    """The third step of the document by hand: what is printed lets in, and so does the policy that the document has."""
    folder = write_manifests(tmp_path / "claim", yaml.safe_load(CLAIM), yourservice())
    ended = invoke("network-policy", folder, "--host-network")
    assert (ended.exit_code, ended.stderr) == (0, "")
    (made,) = policies(ended.stdout).values()
    assert made["metadata"]["name"] == "allow-tcp-router-to-transportserverclaim-yourservice-tsc"
    assert made["metadata"]["namespace"] == "yourlicenceplate-dev"
    assert made["spec"]["podSelector"] == {"matchLabels": {"name": "yourappslabel"}}
    (rule,) = made["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8080}]
    assert {"namespaceSelector": {"matchLabels": {"network.openshift.io/policy-group": "ingress"}}} in rule["from"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"service": "missing"}, "Service yourlicenceplate-dev/missing does not exist"),
        ({"service": "../x"}, "spec.service is '../x', which no Service can be named"),
        ({"servicePort": None}, "spec.servicePort is missing"),
        ({"servicePort": 9}, "neither Service yourlicenceplate-dev/yourservice nor its endpoints have a port 9"),
        ({"servicePort": 8000}, "Service yourlicenceplate-dev/yourservice has no selector"),
    ],
    ids=str,
)
def test_a_claim_that_leads_nowhere(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    """Is told of on standard error."""
    claim, target = yaml.safe_load(CLAIM), yourservice()
    claim["spec"] |= changed
    if changed == {"servicePort": 8000}:
        del target["spec"]["selector"]
    ended = invoke("network-policy", write_manifests(tmp_path / "claim", claim, target))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert said in ended.stderr


def test_a_claim_of_a_cluster(cluster: Cluster) -> None:
    """By its kind."""
    cluster.create(yaml.safe_load(CLAIM), yourservice())
    name = f"transportserverclaim/{cluster.namespace}/yourservice-tsc"
    ended = invoke("network-policy", name, "--kubeconfig", as_admin(cluster))
    assert ended.exit_code == 0, ended.stderr
    assert set(policies(ended.stdout)) == {"allow-tcp-router-to-transportserverclaim-yourservice-tsc"}


ALLOW_FROM_F5 = """\
# allow-from-f5-ingress.yaml
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata:
  name: allow-from-f5-ingress
  namespace: yourlicenceplate-dev
spec:
  podSelector:
    matchLabels:
      name: yourappslabel
  ingress:
    - from:
        - namespaceSelector:
            matchLabels:
              network.openshift.io/policy-group: ingress
  policyTypes:
    - Ingress
"""
"""The document's own."""


@pytest.mark.parametrize("options", [("--host-network",), ()], ids=["host", "pods"])
def test_the_documents_own_policy_is_enough(cluster: Cluster, options: tuple[str, ...]) -> None:
    """It is named, and nothing is printed nor applied; on the host's network by OpenShift's label, else by that of the router's namespace."""
    cluster.create(yaml.safe_load(CLAIM), yourservice(), yaml.safe_load(ALLOW_FROM_F5))
    name = f"transportserverclaim/{cluster.namespace}/yourservice-tsc"
    asked = (name, "--kubeconfig", as_admin(cluster), "--router-namespace", cluster.namespace, *options)
    if not options:
        printed = invoke("network-policy", *asked)
        assert set(policies(printed.stdout)) == {"allow-tcp-router-to-transportserverclaim-yourservice-tsc"}
        label = {"metadata": {"labels": {"network.openshift.io/policy-group": "ingress"}}}
        cluster.client.patch("Namespace", "", cluster.namespace, label)
    ended = invoke("network-policy", *asked)
    assert (ended.exit_code, ended.stdout) == (0, "")
    said = (
        f"NetworkPolicy {cluster.namespace}/allow-tcp-router-to-transportserverclaim-yourservice-tsc not needed: "
        "allow-from-f5-ingress lets the router in already\n"
    )
    assert ended.stderr == said
    assert invoke("network-policy", *asked, "--apply").stdout == said
    assert [each["metadata"]["name"] for each in cluster.client.list("NetworkPolicy", cluster.namespace)] == [
        "allow-from-f5-ingress"
    ]


def test_a_policy_for_other_pods_is_not_enough(cluster: Cluster) -> None:
    """Nor one that may select these, and may not."""
    cluster.create(yaml.safe_load(CLAIM), yourservice())
    for number, labels in enumerate(({"name": "other"}, {"name": "yourappslabel", "tier": "db"})):
        policy = yaml.safe_load(ALLOW_FROM_F5)
        policy["metadata"]["name"] += str(number)
        policy["spec"]["podSelector"] = {"matchLabels": labels}
        cluster.create(policy)
    name = f"transportserverclaim/{cluster.namespace}/yourservice-tsc"
    ended = invoke("network-policy", name, "--kubeconfig", as_admin(cluster), "--host-network")
    assert set(policies(ended.stdout)) == {"allow-tcp-router-to-transportserverclaim-yourservice-tsc"}


def test_a_transport_server_of_manifests(tmp_path: Path) -> None:
    """All Services that it leads to, whatever else it says."""
    other = {**yourservice(), "metadata": {"name": "other", "namespace": "yourlicenceplate-dev"}}
    pool = {"service": "yourservice", "servicePort": 8000, "alternateBackends": [{"service": "other"}]}
    made = {
        "apiVersion": "cis.f5.com/v1",
        "kind": "TransportServer",
        "metadata": {"name": "ts", "namespace": "yourlicenceplate-dev"},
        "spec": {
            "virtualServerPort": 36760,
            "virtualServerAddress": "142.34.194.68",
            "mode": "performance",
            "dos": "/x",
            "pool": pool,
        },
    }
    ended = invoke("network-policy", write_manifests(tmp_path / "ts", made, yourservice(), other))
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert set(policies(ended.stdout)) == {
        "allow-tcp-router-to-transportserver-ts-yourservice",
        "allow-tcp-router-to-transportserver-ts-other",
    }


def as_admin(cluster: Cluster) -> str:
    """Give the path of a kubeconfig that may do all."""
    return str(write_kubeconfig(cluster.directory / "admin", cluster.client, "admin"))


def deny(namespace: str) -> dict[str, Any]:
    """Make the policy that lets nobody in."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }


def test_askers_of_a_cluster(cluster: Cluster) -> None:
    """Read with the caller's kubeconfig: a Route, and where there is none of that name a Service."""
    kubeconfig = ("--kubeconfig", as_admin(cluster))
    cluster.create(route("db", 6620, target_port=5432), selecting("db"), asking("mq", "pg=6622"))
    printed = invoke("network-policy", f"{cluster.namespace}/db", f"{cluster.namespace}/mq", *kubeconfig)
    assert printed.exit_code == 0, printed.stderr
    assert set(policies(printed.stdout)) == {"allow-tcp-router-to-db", "allow-tcp-router-to-service-mq"}
    missing = invoke("network-policy", f"{cluster.namespace}/none", *kubeconfig)
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert (
        f"{cluster.namespace}/none: there is no Route or Service or TransportServerClaim or TransportServer of this name"
        in missing.stderr
    )


def test_apply(cluster: Cluster) -> None:
    """Only where a policy selects the pods: else the first one would keep all others out. A second time changes nothing, and another's is left alone."""
    command = ("network-policy", f"{cluster.namespace}/db", "--kubeconfig", as_admin(cluster), "--apply")
    name = f"NetworkPolicy {cluster.namespace}/allow-tcp-router-to-db"
    cluster.create(route("db", 6620, target_port=5432), selecting("db"))
    assert invoke(*command).stdout == (
        f"{name} not needed: no NetworkPolicy selects its pods, and with this one nobody else could reach them\n"
    )
    cluster.create(deny(cluster.namespace))
    assert invoke(*command).stdout == f"{name} created\n"
    assert invoke(*command).stdout == f"{name} unchanged\n"
    assert invoke(*command, "--host-network").stdout == f"{name} configured\n"
    made = cluster.client.get("NetworkPolicy", cluster.namespace, "allow-tcp-router-to-db")
    assert made is not None
    assert len(made["spec"]["ingress"][0]["from"]) == 2
    alike = f"NetworkPolicy {cluster.namespace}/allow-tcp-router-to-service-mq"
    cluster.create(route("service-mq", 6624, service="db"), asking("mq", "pg=6622"))
    for name_of_asker, said in (("service-mq", f"{alike} created\n"), ("service/{}/mq", "")):
        asker = (
            name_of_asker.format(cluster.namespace) if "/" in name_of_asker else f"{cluster.namespace}/{name_of_asker}"
        )
        assert invoke("network-policy", asker, *command[2:]).stdout == said
    cluster.client.patch(
        "NetworkPolicy",
        cluster.namespace,
        "allow-tcp-router-to-db",
        {"metadata": {"labels": {"app.kubernetes.io/managed-by": "argocd"}}},
    )
    refused = invoke(*command)
    assert refused.exit_code == 1
    assert "that this command did not make" in refused.stderr
