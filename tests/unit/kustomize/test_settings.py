"""The manifests agree with themselves and with the router: images, ports, times, variables, labels."""

from __future__ import annotations

import click
import pytest
import yaml

from router import __version__
from router.cli import main
from router.cli.run import run
from router.cli.types import TimeType
from router.settings import RenderSettings
from tests.support.kustomize import (
    CONFORMANCE,
    MANIFESTS,
    ON_HOST,
    ROUTER_TREES,
    SHARD,
    TREES,
    WORKLOADS,
    containers,
    environment,
    one,
    render,
    router_pod,
    router_workload,
)


def test_image_is_set_in_one_place() -> None:
    """One line names the image of both containers in every tree; the build on the cluster makes the one of this version."""
    entries = [
        image
        for path in MANIFESTS.rglob("kustomization.yaml")
        for image in yaml.safe_load(path.read_text()).get("images", ())
    ]
    (entry,) = entries
    image = f"{entry['newName']}:{entry['newTag']}"
    for tree in ROUTER_TREES:
        assert {each["image"] for each in containers(router_pod(tree)).values()} == {image}
    assert one(render("overlays/pair"), "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"] == image
    build = one(render("build"), "BuildConfig")
    stream, _, tag = build["spec"]["output"]["to"]["name"].partition(":")
    assert image.endswith(f":5000/{build['metadata']['namespace']}/{stream}:{tag}")
    assert stream == one(render("build"), "ImageStream")["metadata"]["name"]
    assert tag == __version__
    containerfile = build["spec"]["strategy"]["dockerStrategy"]["dockerfilePath"]
    assert (MANIFESTS.parent / containerfile).is_file()


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_variables_are_options(tree: str) -> None:
    """Each variable is one of ``tcp-router run``, and its value is of the option's form."""
    command = main.get_command(click.Context(main), "run") if isinstance(main, click.Group) else None
    assert command is not None
    known = {variable: option for option in command.params for variable in _variables(option)}
    for name, value in environment(tree).items():
        assert name in known, f"{name} is no variable of tcp-router run"
        known[name].type_cast_value(click.Context(command), value)


def test_variables_of_the_pair_are_options() -> None:
    """Likewise of ``tcp-router pair``; and they are all that it cannot do without."""
    command = main.get_command(click.Context(main), "pair") if isinstance(main, click.Group) else None
    assert command is not None
    known = {variable: option for option in command.params for variable in _variables(option)}
    container = one(render("overlays/pair"), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    given = {each["name"]: each.get("value") for each in container["env"]}
    for name, value in given.items():
        assert name in known, f"{name} is no variable of tcp-router pair"
        if value is not None:
            known[name].type_cast_value(click.Context(command), value)
    assert {variable for variable, option in known.items() if option.required} <= given.keys()


def _variables(parameter: click.Parameter) -> list[str]:
    named = parameter.envvar or []
    return [named] if isinstance(named, str) else list(named)


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_kubelet_waits_for_the_drain(tree: str) -> None:
    """The pod's grace is the router's delay, five minutes for connections, and time to end; what hangs does not get it."""
    delay_ms = _milliseconds(environment(tree)["TCP_ROUTER_SHUTDOWN_DELAY"])
    assert router_pod(tree)["terminationGracePeriodSeconds"] * 1000 >= delay_ms + 300_000 + 30_000
    for container in containers(router_pod(tree)).values():
        assert container["livenessProbe"]["terminationGracePeriodSeconds"] <= 30


def test_delay_outlasts_the_checks_in_front() -> None:
    """The router goes on serving until three checks at 10 s, usual in load balancers, have seen that it is not ready."""
    assert _milliseconds(environment("base")["TCP_ROUTER_SHUTDOWN_DELAY"]) >= 3 * 10_000


def _milliseconds(value: str) -> int:
    converted: int = TimeType(zero=True).convert(value, None, None)
    return converted


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_probes_ask_the_port_that_listens(tree: str) -> None:
    """The container's port has the number that the router listens on, and the probes name it.

    On the host's network no port is declared, for each would be a host port, of which a node has one; probes ask sockets there.
    """
    router = containers(router_pod(tree))["router"]
    if tree in ON_HOST:
        assert not any("ports" in each for each in containers(router_pod(tree)).values())
        asked = [router[f"{kind}Probe"]["exec"]["command"][-1] for kind in ("startup", "liveness", "readiness")]
        settings = RenderSettings()
        assert asked == [str(settings.alive_socket), str(settings.alive_socket), str(settings.ready_socket)]
        assert all("httpGet" not in router[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness"))
        return
    (http,) = router["ports"]
    assert environment(tree)["TCP_ROUTER_LISTEN"] == f"[::]:{http['containerPort']}"
    probes = {kind: router[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {http["name"]}
    assert [probes[kind]["path"] for kind in ("startup", "liveness", "readiness")] == [
        "/healthz",
        "/healthz",
        "/readyz",
    ]


@pytest.mark.parametrize("tree", ["overlays/load-balancer", "overlays/node-port", SHARD])
def test_the_router_writes_the_service_in_front_of_it(tree: str) -> None:
    """The one of its tree, which has one entry of its own, and by a right to that one alone."""
    objects = render(tree)
    service = one(objects, "Service")
    (entry,) = service["spec"]["ports"]
    assert (entry["name"], entry["port"], entry["targetPort"]) == ("sni", 8443, 8443)
    published = environment(tree)["TCP_ROUTER_PUBLISH_SERVICE"]
    assert published == f"{service['metadata']['namespace']}/{service['metadata']['name']}"
    (role,) = (obj for obj in objects if obj["kind"] == "Role" and "publish" in obj["metadata"]["name"])
    names = [service["metadata"]["name"]]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["services"], "resourceNames": names, "verbs": ["patch"]}]


def test_routes_have_the_range_of_node_ports() -> None:
    """So that the port in an annotation is the one that clients use."""
    (range_of_cluster,) = (each.default for each in run.params if each.name == "node_port_range")
    assert environment("overlays/node-port")["TCP_ROUTER_PORTS"] == range_of_cluster


@pytest.mark.parametrize("tree", ["overlays/load-balancer", "overlays/node-port"])
def test_services_keep_clients_addresses(tree: str) -> None:
    """Traffic goes to replicas on the node where it arrives, so that addresses of clients are seen and allowlists hold."""
    assert one(render(tree), "Service")["spec"]["externalTrafficPolicy"] == "Local"


@pytest.mark.parametrize("tree", TREES)
def test_selectors_find_their_pods(tree: str) -> None:
    """Whatever selects pods of a tree selects those that its Deployments make."""
    objects = render(tree)
    made = [obj["spec"]["template"]["metadata"]["labels"] for obj in objects if obj["kind"] in WORKLOADS]
    for obj in objects:
        spec = obj.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector"))
        if obj["kind"] in {"BuildConfig", "ImageStream"} or selector is None:
            continue
        wanted = selector if obj["kind"] == "Service" else selector["matchLabels"]
        assert any(wanted.items() <= labels.items() for labels in made), obj["kind"]


@pytest.mark.parametrize("tree", sorted({*ROUTER_TREES} - {"overlays/daemonset", CONFORMANCE}))
def test_updates_leave_all_replicas(tree: str) -> None:
    """There are two replicas on two nodes; a new one is ready before an old one ends, beside it, and a drain of nodes leaves one."""
    objects = render(tree)
    spec = one(objects, "Deployment")["spec"]
    assert spec["replicas"] > 1
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] < spec["replicas"]
    assert "affinity" not in spec["template"]["spec"]
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    # A pod that drains has another hash, and does not count.
    assert all(each["matchLabelKeys"] == ["pod-template-hash"] for each in spread)
    assert [(each["topologyKey"], each["whenUnsatisfiable"]) for each in spread] == [
        ("kubernetes.io/hostname", "DoNotSchedule"),
        ("topology.kubernetes.io/zone", "ScheduleAnyway"),
    ]


def test_a_daemonset_replaces_its_pods_beside_one_another() -> None:
    """On each node a new pod is ready before the old one ends; nothing that only a Deployment has is left in it."""
    objects = render("overlays/daemonset")
    spec = one(objects, "DaemonSet")["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert "topologySpreadConstraints" not in spec["template"]["spec"]
    assert not [obj for obj in objects if obj["kind"] in {"Deployment", "PodDisruptionBudget"}]
    assert router_pod("overlays/daemonset")["nodeSelector"] == router_pod("overlays/host-network")["nodeSelector"]


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_metrics_are_looked_for_where_they_are(tree: str) -> None:
    """The annotation by which Prometheus finds the port has the number on which the router listens, and so has OpenShift's Service."""
    annotations = router_workload(tree)["spec"]["template"]["metadata"]["annotations"]
    assert environment(tree)["TCP_ROUTER_LISTEN"] == f"[::]:{annotations['prometheus.io/port']}"
    if tree == "openshift":
        (port,) = one(render(tree), "Service", "tcp-router-metrics")["spec"]["ports"]
        assert port["targetPort"] == int(annotations["prometheus.io/port"])


@pytest.mark.parametrize("tree", ROUTER_TREES)
def test_everything_bears_the_label_of_uninstalling(tree: str) -> None:
    """Each object says what it is part of, which finds it again when a tree is not at hand."""
    for obj in render(tree):
        assert obj["metadata"]["labels"]["app.kubernetes.io/part-of"] == "openshift-tcp-router"
