"""Random changes of objects: Routes, Services and endpoints in any order, on ports and hosts that they contend for."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.support.chaos.routers import NAMESPACE
from tests.support.chaos.scene import CONTESTED_HOST, DOMAINS, MOVED, NAMES, SECRETS, Address, Scene
from tests.support.objects import ANNOTATIONS, endpoint_slice, route, service, tls_secret

Change = Callable[[Scene, random.Random], str]
"""Makes one change, and says which."""

# Values that go with every check here: none of them changes what is answered, nor ends a connection while a run lasts.
_OPTIONS: tuple[dict[str, tuple[str, ...]], ...] = (
    {"balance": ("roundrobin", "leastconn", "source", "random", "first")},
    {"timeout": ("2h", "3h")},
    {"timeout-client": ("2h", "3h")},
    {"max-connections": ("500", "600")},
    {"pod-concurrent-connections": ("200", "300")},
    {"balance": ("source",), "hash-balance-factor": ("110", "150")},
    {"tcp-keepalive": ("false", "true")},
    {"rate-limit-connections": ("true",), "rate-limit-connections.concurrent-tcp": ("400", "500")},
    {"on-marked-down": ("shutdown-sessions",)},
    {"router.openshift.io/haproxy.health.check.interval": ("2s", "3s")},
)
_ALLOWLISTS = ("127.0.0.1", "127.0.0.3", "127.0.0.0/8 ::1", "10.0.0.0/8", "127.0.0.1 10.1.0.0/16", "0.0.0.0/0")
_SPOILED = ({"balance": "fairest"}, {"external-tcp-port": "66x"}, {"ip_allowlist": "127.0.0.1/40"})


def comes(scene: Scene, chance: random.Random) -> str:
    """Let a Route come, or be another one."""
    name = chance.choice(NAMES)
    wanted = _route(scene, name, chance)
    scene.api.apply(wanted)
    return f"Route {name}: {_told(wanted)}"


def goes(scene: Scene, chance: random.Random) -> str:
    """Delete a Route."""
    name = chance.choice(NAMES)
    if scene.api.get("Route", NAMESPACE, name) is None:
        return f"no Route {name} to delete"
    scene.api.delete("Route", NAMESPACE, name)
    return f"Route {name} deleted"


def comes_again(scene: Scene, chance: random.Random) -> str:
    """Delete a Route and create one of its name at once."""
    said = goes(scene, chance)
    name = said.split()[1] if said.endswith(" deleted") else chance.choice(NAMES)
    wanted = _route(scene, name, chance)
    scene.api.apply(wanted)
    return f"{said}, and Route {name}: {_told(wanted)}"


def contend(scene: Scene, chance: random.Random) -> str:
    """Let two Routes ask for one port."""
    port = chance.choice((*scene.pool, *scene.pool, *scene.outside))
    names = chance.sample(NAMES, 2)
    scene.api.apply(*(route(name, port) for name in names))
    return f"Routes {' and '.join(names)} ask for port {port}"


def move_port(scene: Scene, chance: random.Random) -> str:
    """Give a Route another port; two may change theirs with each other."""
    names = chance.sample(NAMES, 2)
    ports = [chance.choice(scene.ports) for _ in names]
    there = [(name, port) for name, port in zip(names, ports, strict=True) if _annotate(scene, name, _port(port))]
    return f"ports moved: {there}"


def set_option(scene: Scene, chance: random.Random) -> str:
    """Give a Route an option that only a reload can serve, or take all away again."""
    name = chance.choice(NAMES)
    options = _options(chance) if chance.random() < 0.7 else {}
    kept = ("router-name", "external-tcp-port", "external-tcp-port-sni")
    found = scene.api.get("Route", NAMESPACE, name)
    if found is None:
        return f"no Route {name} for options"
    annotations = found["metadata"]["annotations"]
    found["metadata"]["annotations"] = {
        **{key: value for key, value in annotations.items() if key.removeprefix(ANNOTATIONS) in kept},
        **options,
    }
    scene.api.update(found)
    return f"options of Route {name}: {options}"


def set_allowlist(scene: Scene, chance: random.Random) -> str:
    """Give a Route an allowlist."""
    name, allowlist = chance.choice(NAMES), chance.choice(_ALLOWLISTS)
    is_there = _annotate(scene, name, {f"{ANNOTATIONS}ip_allowlist": allowlist})
    return f"allowlist of Route {name}: {allowlist}" if is_there else f"no Route {name} for an allowlist"


def spoil(scene: Scene, chance: random.Random) -> str:
    """Give a Route an annotation that rejects it."""
    name, bad = chance.choice(NAMES), chance.choice(_SPOILED)
    is_there = _annotate(scene, name, {f"{ANNOTATIONS}{key}": value for key, value in bad.items()})
    return f"Route {name} spoiled: {bad}" if is_there else f"no Route {name} to spoil"


def set_weights(scene: Scene, chance: random.Random) -> str:
    """Lead a Route to two Services by weight."""
    name = chance.choice(NAMES)
    services = chance.sample(NAMES, 2)
    weights = [chance.choice((0, 1, 100, 256)) for _ in services]
    found = scene.api.get("Route", NAMESPACE, name)
    if found is None:
        return f"no Route {name} to weigh"
    targets = [{"kind": "Service", "name": s, "weight": w} for s, w in zip(services, weights, strict=True)]
    found["spec"]["to"], found["spec"]["alternateBackends"] = targets[0], targets[1:]
    scene.api.update(found)
    return f"Route {name} leads to {list(zip(services, weights, strict=True))}"


def rotate(scene: Scene, chance: random.Random) -> str:
    """Renew a certificate, wherever it is: in a Route, in a Secret, or the default one."""
    number = chance.randrange(len(scene.certificates))
    made, where = scene.certificates[number], chance.choice(("Route", "Route", "Secret", "Secret", "Secret", "default"))
    if where == "default":
        scene.write_default_certificate(made)
        return f"the default certificate is number {number}"
    if where == "Secret":
        name = chance.choice(SECRETS)
        scene.api.apply(tls_secret(name, made.pem, made.key, namespace=NAMESPACE))
        return f"Secret {name} has the certificate {number}"
    name = chance.choice(NAMES)
    found = scene.api.get("Route", NAMESPACE, name)
    if found is None or "certificate" not in found["spec"].get("tls", {}):
        return f"Route {name} has no certificate to renew"
    found["spec"]["tls"] |= {"certificate": made.pem, "key": made.key}
    scene.api.update(found)
    return f"Route {name} has the certificate {number}"


def spoil_secret(scene: Scene, chance: random.Random) -> str:
    """Let a Secret be of no use, or be gone."""
    name = chance.choice(SECRETS)
    made, other = scene.certificates[:2]
    how = chance.choice(("deleted", "of another kind", "with another's key", "with no PEM"))
    if how == "deleted":
        if scene.api.get("Secret", NAMESPACE, name) is not None:
            scene.api.delete("Secret", NAMESPACE, name)
        return f"Secret {name} {how}"
    key = {"with another's key": other.key, "with no PEM": "\xe9\x00"}.get(how, made.key)
    kind = "Opaque" if how == "of another kind" else "kubernetes.io/tls"
    if scene.api.get("Secret", NAMESPACE, name) is not None:
        # The kind of a Secret cannot be changed.
        scene.api.delete("Secret", NAMESPACE, name)
    scene.api.apply(tls_secret(name, made.pem, key, namespace=NAMESPACE, kind=kind))
    return f"Secret {name} {how}"


def change_service(scene: Scene, chance: random.Random) -> str:
    """Change a Service's port, which is no matter to its endpoints, or delete it."""
    name = chance.choice(NAMES)
    if chance.random() < 0.25 and scene.api.get("Service", NAMESPACE, name) is not None:
        scene.api.delete("Service", NAMESPACE, name)
        return f"Service {name} deleted"
    scene.api.apply(service(name, port := chance.randint(1, 9999)))
    return f"Service {name}: port {port}"


def change_endpoints(scene: Scene, chance: random.Random) -> str:
    """Give a Service other endpoints, of which some drain and some are not ready."""
    name = chance.choice((*NAMES, MOVED, MOVED, MOVED))
    addresses = chance.sample(scene.addresses, chance.choice((0, 1, 1, 2, 3)))
    states = [chance.choice(("ready", "ready", "ready", "draining", "unready")) for _ in addresses]
    set_endpoints(scene, name, addresses, states)
    return f"endpoints of {name}: {[(scene.pods[a].decode(), s) for a, s in zip(addresses, states, strict=True)]}"


def set_endpoints(scene: Scene, name: str, addresses: list[Address], states: list[str]) -> None:
    """Let these be the endpoints of a Service; the slices are replaced one by one."""
    conditions = {
        "ready": {"ready": True, "serving": True, "terminating": False},
        "draining": {"ready": False, "serving": True, "terminating": True},
        "unready": {"ready": False, "serving": False, "terminating": False},
    }
    wanted = endpoint_slice(name, *addresses)
    state_of = dict(zip(addresses, states, strict=True))
    for each in wanted:
        for endpoint in each["endpoints"]:
            endpoint["conditions"] = conditions[state_of[endpoint["addresses"][0], each["ports"][0]["port"]]]
    scene.api.apply(*wanted)
    kept = {each["metadata"]["name"] for each in wanted}
    for obj in scene.api.list("EndpointSlice"):
        metadata = obj["metadata"]
        if metadata["labels"].get("kubernetes.io/service-name") == name and metadata["name"] not in kept:
            scene.api.delete("EndpointSlice", NAMESPACE, metadata["name"])


def _route(scene: Scene, name: str, chance: random.Random) -> dict[str, Any]:
    port: int | None = chance.choice((*scene.ports, *scene.pool))
    annotations = _options(chance) if chance.random() < 0.25 else {}
    if chance.random() < 0.15:
        annotations[f"{ANNOTATIONS}ip_allowlist"] = chance.choice(_ALLOWLISTS)
    target = chance.choice((name, name, name, *NAMES))
    router_name = chance.choice(("tcp-router",) * 9 + ("another",))
    shares = chance.random() < 0.2
    ends = _ending(scene, chance) if chance.random() < 0.4 else None
    if not shares and chance.random() < 0.65:
        if ends is not None:
            host = f"{name}{DOMAINS[0]}"
            return route(
                name,
                port,
                service=target,
                annotations=annotations,
                router_name=router_name,
                spec={"tls": ends, "host": host},
            )
        return route(name, port, service=target, annotations=annotations, router_name=router_name)
    host = chance.choice((*(f"{name}{domain}" for domain in (DOMAINS[0], *DOMAINS)), CONTESTED_HOST))
    spec = {"wildcardPolicy": "Subdomain"} if "wild" in host and chance.random() < 0.7 else {}
    if shares:
        port = scene.shared_port if chance.random() < 0.8 else port
        annotations[f"{ANNOTATIONS}external-tcp-port-sni"] = "true"
    elif chance.random() < 0.6:
        port = None
    return route(
        name,
        port,
        service=target,
        annotations=annotations,
        router_name=router_name,
        host=host,
        passthrough=ends is None,
        spec={**spec, "tls": ends} if ends is not None else spec,
    )


def _ending(scene: Scene, chance: random.Random) -> dict[str, Any]:
    """Give what a Route says of TLS that ends at the router: with a certificate of its own, in a Secret, or none."""
    made = chance.choice(scene.certificates)
    own = {"certificate": made.pem, "key": made.key}
    return {
        "termination": "edge",
        **chance.choice((own, own, {"externalCertificate": {"name": chance.choice(SECRETS)}}, {})),
    }


def _options(chance: random.Random) -> dict[str, str]:
    chosen = chance.choice(_OPTIONS)
    return {
        key if key.startswith("router.openshift.io/") else f"{ANNOTATIONS}{key}": chance.choice(values)
        for key, values in chosen.items()
    }


def _port(port: int) -> dict[str, str]:
    return {f"{ANNOTATIONS}external-tcp-port": str(port)}


def _annotate(scene: Scene, name: str, annotations: dict[str, str]) -> bool:
    found = scene.api.get("Route", NAMESPACE, name)
    if found is None:
        return False
    found["metadata"]["annotations"].update(annotations)
    scene.api.update(found)
    return True


def _told(obj: dict[str, Any]) -> str:
    annotations = {key.rpartition("/")[2]: value for key, value in obj["metadata"]["annotations"].items()}
    tls = obj["spec"].get("tls")
    kept = {key: "..." if key in {"certificate", "key"} else value for key, value in tls.items()} if tls else "no tls"
    return f"{annotations}, {obj['spec'].get('host', 'no host')}, {kept}, to {obj['spec']['to']['name']}"


CHANGES: tuple[Change, ...] = (
    comes, comes, comes, comes, goes, goes, comes_again, contend, move_port, move_port, set_option, set_allowlist,
    spoil, rotate, rotate, spoil_secret, set_weights, change_service, change_endpoints, change_endpoints, change_endpoints, change_endpoints,
)  # fmt: skip
"""As often as they shall come."""
