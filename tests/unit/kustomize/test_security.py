"""The security properties of every Deployment that the manifests make."""

from __future__ import annotations

import pytest

from router.admission.reserved_ports import HOST_NETWORK_PORTS
from router.kube import reviews
from router.kube.configuration import SERVICE_ACCOUNT
from tests.support.kustomize import (
    CONFORMANCE,
    ON_HOST,
    ROUTER_TREES,
    TREES,
    WORKLOADS,
    containers,
    environment,
    one,
    render,
    router_pod,
)

POD_CONTEXT = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize("tree", TREES)
def test_pods_are_restricted(tree: str) -> None:
    """Each pod meets the Pod Security Standard "restricted", the host's network of one overlay aside.

    No root, no capability, no way to more rights, the runtime's own seccomp profile, and no volume but those that Kubernetes
    makes. One overlay sets the sysctl by which ports under 1024 need no capability, which the standard allows.
    """
    low_ports = {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
    for pod in (obj["spec"]["template"]["spec"] for obj in render(tree) if obj["kind"] in WORKLOADS):
        assert pod["securityContext"] == POD_CONTEXT | (low_ports if tree == CONFORMANCE else {})
        for container in containers(pod).values():
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not {"privileged", "runAsUser", "runAsGroup", "procMount"} & context.keys()
        assert not {"hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys()
        volumes = {key for volume in pod["volumes"] for key in volume} - {"name"}
        assert volumes <= {"emptyDir", "configMap", "secret", "projected"}


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_router_writes_nowhere_but_to_the_shared_directory(tree: str) -> None:
    """Both containers have a root filesystem that cannot be written, and one emptyDir, of bounded size, that they share."""
    pod = router_pod(tree)
    (volume,) = (each for each in pod["volumes"] if "emptyDir" in each)
    assert volume["emptyDir"]["sizeLimit"]
    # There are private keys in it, which are on no node's disk.
    assert volume["emptyDir"]["medium"] == "Memory"
    for container in containers(pod).values():
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert writable == [{"name": volume["name"], "mountPath": "/var/lib/tcp-router"}]


def test_metrics_are_given_to_those_who_may_read_them() -> None:
    """On OpenShift the metrics go by TLS, with a certificate that HAProxy's container does not see, and after a review of the token."""
    objects = render("openshift")
    assert environment("openshift")["TCP_ROUTER_METRICS_AUTH"] == "kubernetes"
    assert not [obj for obj in objects if obj["kind"] == "PodMonitor"]
    secret = one(objects, "Service", "tcp-router-metrics")["metadata"]["annotations"][
        "service.beta.openshift.io/serving-cert-secret-name"
    ]
    (volume,) = (each for each in router_pod("openshift")["volumes"] if "secret" in each)
    assert volume["secret"] == {"secretName": secret}
    both = containers(router_pod("openshift"))
    (mount,) = (each for each in both["router"]["volumeMounts"] if each["name"] == volume["name"])
    assert volume["name"] not in {each["name"] for each in both["haproxy"]["volumeMounts"]}
    assert environment("openshift")["ROUTER_METRICS_TLS_CERT_FILE"] == f"{mount['mountPath']}/tls.crt"
    assert environment("openshift")["ROUTER_METRICS_TLS_KEY_FILE"] == f"{mount['mountPath']}/tls.key"
    (endpoint,) = one(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["scheme"], endpoint["tlsConfig"]["serverName"]) == (
        "https",
        "tcp-router-metrics.openshift-ingress.svc",
    )


def test_reviews_are_granted() -> None:
    """The rights to ask about tokens and their bearers are those of the two requests that the router makes for it."""
    (role,) = (
        obj
        for obj in render("openshift")
        if obj["kind"] == "ClusterRole" and obj["metadata"]["name"].endswith("-access")
    )
    granted = {
        (f"/apis/{group}/v1/{resource}", verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {(reviews.TOKEN_REVIEWS, "create"), (reviews.ACCESS_REVIEWS, "create")}


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_no_uid_is_named(tree: str) -> None:
    """OpenShift assigns the uid: nothing names one, and both containers have the same for want of one of their own."""
    pod = router_pod(tree)
    contexts = [pod["securityContext"], *(each["securityContext"] for each in containers(pod).values())]
    assert not any({"runAsUser", "runAsGroup", "fsGroup"} & context.keys() for context in contexts)


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_router_alone_has_the_service_accounts_token(tree: str) -> None:
    """HAProxy, which reads what strangers send, sees no token; the router sees a short-lived one where the client looks for it."""
    pod = router_pod(tree)
    assert pod["automountServiceAccountToken"] is False
    (volume,) = (each for each in pod["volumes"] if "projected" in each)
    token, authority, services, namespace = volume["projected"]["sources"]
    assert token["serviceAccountToken"]["path"] == "token"
    assert token["serviceAccountToken"]["expirationSeconds"] <= 3600
    assert authority["configMap"] == {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    assert services["configMap"]["name"] == "openshift-service-ca.crt"
    assert services["configMap"]["optional"] is True
    assert namespace["downwardAPI"]["items"] == [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]
    mounts = {
        name: [mount for mount in each["volumeMounts"] if mount["name"] == volume["name"]]
        for name, each in containers(pod).items()
    }
    assert mounts == {
        "haproxy": [],
        "router": [{"name": volume["name"], "mountPath": str(SERVICE_ACCOUNT), "readOnly": True}],
    }


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_haproxy_is_a_native_sidecar(tree: str) -> None:
    """HAProxy starts before the router and ends after it; one image for both."""
    pod = router_pod(tree)
    (sidecar,), (router,) = pod["initContainers"], pod["containers"]
    assert (sidecar["name"], sidecar["restartPolicy"], sidecar["args"]) == ("haproxy", "Always", ["haproxy"])
    assert router["args"] == ["run", "--haproxy-mode", "attached"]
    assert sidecar["image"] == router["image"]


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_both_containers_are_probed_and_have_requests(tree: str) -> None:
    """Each has the three probes and says what it needs; none has a limit, at which its connections would be cut."""
    for container in containers(router_pod(tree)).values():
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
        assert container["resources"].keys() == {"requests"}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_only_one_overlay_is_on_the_hosts_network() -> None:
    """The host's network is asked for where it is the point, with the right to it, and nowhere else."""
    on_host = {tree for tree in ROUTER_TREES if router_pod(tree).get("hostNetwork")}
    assert on_host == set(ON_HOST)
    for tree in ROUTER_TREES:
        roles = {obj["roleRef"]["name"] for obj in render(tree) if obj["kind"].endswith("Binding")}
        assert ("system:openshift:scc:hostnetwork-v2" in roles) is (tree in on_host)


@pytest.mark.parametrize(
    ("tree", "lowest"),
    [("base", 1024), ("overlays/load-balancer", 1024), ("overlays/node-port", 1024), (CONFORMANCE, 1)],
)
def test_network_policy_opens_what_is_needed(tree: str, lowest: int) -> None:
    """Clients reach every port that can be had but the router's HTTP, which OpenShift's Prometheus alone reaches."""
    policy = one(render(tree), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    clients, metrics = policy["ingress"]
    (http,) = containers(router_pod(tree))["router"]["ports"]
    opened = {port for each in clients["ports"] for port in range(each["port"], each["endPort"] + 1)}
    assert opened == set(range(lowest, 65536)) - {http["containerPort"]}
    assert [each["port"] for each in metrics["ports"]] == [http["name"]]
    assert metrics["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-monitoring"}}}
    ]
    without_destination = [rule for rule in policy["egress"] if "to" not in rule]
    assert [port["port"] for rule in without_destination for port in rule["ports"]] == [53, 5353]
    blocks = [to["ipBlock"] for rule in policy["egress"] for to in rule.get("to", ()) if "ipBlock" in to]
    assert {block["cidr"]: block["except"] for block in blocks} == {
        "0.0.0.0/0": ["169.254.0.0/16"],
        "::/0": ["fe80::/10"],
    }


def test_http_port_on_the_host_is_nobody_elses() -> None:
    """On the nodes' addresses the router's HTTP has a port that OpenShift's nodes do not use, its own router's least of all."""
    for tree in ON_HOST:
        _, _, port = environment(tree)["TCP_ROUTER_LISTEN"].rpartition(":")
        assert int(port) not in HOST_NETWORK_PORTS
        assert environment(tree)["TCP_ROUTER_HOST_NETWORK"] == "true"
        assert not [obj for obj in render(tree) if obj["kind"] == "NetworkPolicy"]


def test_service_account_may_not_do_more_elsewhere() -> None:
    """Nothing but reading, reporting and leading is bound to the router's account, monitoring not included."""
    bound = {
        obj["roleRef"]["name"]
        for obj in render("base")
        if obj["kind"].endswith("Binding") and any(each["name"] == "tcp-router" for each in obj["subjects"])
    }
    assert bound == {f"tcp-router-{each}" for each in ("read", "report", "lead", "see-routers", "claims")}
    for role in (obj for obj in render("openshift") if obj["kind"] in {"Role", "ClusterRole"}):
        for rule in role["rules"]:
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            assert "secrets" not in rule["resources"]
