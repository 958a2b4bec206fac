"""What an API server does with a Service's type: node ports, the load balancer's class and status, and quotas of them.

Followed: kubernetes/pkg/registry/core/service/{strategy,storage/storage,storage/alloc}.go, pkg/apis/core/validation (ValidateService,
ValidateLoadBalancerStatus) and pkg/quota/v1/evaluator/core/services.go.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.support.kube.resources import SERVICES
from tests.support.kube.statuses import Cause, StatusError, failure, invalid, wrong

Object = dict[str, Any]

NODE_PORTS = range(30000, 32768)
_WITH_NODE_PORTS = {"NodePort", "LoadBalancer"}
_OF_LOAD_BALANCERS = (
    "loadBalancerClass",
    "allocateLoadBalancerNodePorts",
    "loadBalancerSourceRanges",
    "loadBalancerIP",
)


def fitted(new: Object, old: Object | None, *, knows_ip_mode: bool = True) -> None:
    """Fill in and take out of a completed Service what depends on its type, and on what it was; and the mode of IPs, for older servers."""
    spec = new["spec"]
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in (new.get("status", {}).get("loadBalancer") or {}).get("ingress") or ():
            if not knows_ip_mode:
                ingress.pop("ipMode", None)
            elif ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")
    if old is not None:
        _follow(new, old)


def _follow(new: Object, old: Object) -> None:
    """Do what follows from what a Service was."""
    spec, was = new["spec"], old["spec"]
    if was["type"] == "LoadBalancer" != spec["type"]:
        for field in _OF_LOAD_BALANCERS:
            if spec.get(field) == was.get(field):
                spec.pop(field, None)
        new.setdefault("status", {})["loadBalancer"] = {}
    if was["type"] in _WITH_NODE_PORTS and spec["type"] not in _WITH_NODE_PORTS:
        former = {port.get("nodePort") for port in was.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in former:
                port.pop("nodePort", None)
    if was["type"] in _WITH_NODE_PORTS and spec["type"] in _WITH_NODE_PORTS:
        _keep_node_ports(spec.get("ports") or [], was.get("ports") or [])


def type_problems(new: Object, old: Object | None) -> Iterator[Cause]:
    """Give what is wrong with a Service for its type."""
    spec, was = new["spec"], (old or {}).get("spec") or {}
    is_balanced = spec["type"] == "LoadBalancer"
    for field in _OF_LOAD_BALANCERS:
        if field in spec and not is_balanced and field != "loadBalancerIP":
            yield Cause(f"spec.{field}", "FieldValueForbidden", "may only be used when `type` is 'LoadBalancer'")
    if (
        is_balanced
        and was.get("type") == "LoadBalancer"
        and spec.get("loadBalancerClass") != was.get("loadBalancerClass")
    ):
        yield wrong("spec.loadBalancerClass", spec.get("loadBalancerClass"), "may not change once set")
    for index, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        if not _is_network(text.strip()):
            yield wrong(
                f"spec.loadBalancerSourceRanges[{index}]",
                text,
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            )
    seen: set[tuple[object, str]] = set()
    for index, port in enumerate(spec.get("ports") or ()):
        number = port.get("nodePort")
        if not number:
            continue
        if spec["type"] not in _WITH_NODE_PORTS:
            yield Cause(
                f"spec.ports[{index}].nodePort", "FieldValueForbidden", "may not be used when `type` is 'ClusterIP'"
            )
        if (number, port["protocol"]) in seen:
            yield Cause(f"spec.ports[{index}].nodePort", "FieldValueDuplicate", f"Duplicate value: {number}")
        seen.add((number, port["protocol"]))
    yield from _ingress_problems(new)


def allocate(new: Object, others: Iterable[Object]) -> None:
    """Give a Service the node ports that it needs and does not name.

    Raises:
        StatusError: 422, where one that it names is another Service's, or none of the range.
    """
    spec = new["spec"]
    ports = spec.get("ports") or []
    if spec["type"] not in _WITH_NODE_PORTS:
        return
    taken = {port["nodePort"] for other in others for port in other["spec"].get("ports") or () if port.get("nodePort")}
    for index, port in enumerate(ports):
        number = port.get("nodePort")
        if number and (number not in NODE_PORTS or number in taken):
            problem = "provided port is already allocated"
            if number not in NODE_PORTS:
                problem = f"provided port is not in the valid range. The range of valid ports is {NODE_PORTS[0]}-{NODE_PORTS[-1]}"
            raise invalid(SERVICES, new["metadata"]["name"], [wrong(f"spec.ports[{index}].nodePort", number, problem)])
    taken |= {port["nodePort"] for port in ports if port.get("nodePort")}
    if spec["type"] == "LoadBalancer" and not spec.get("allocateLoadBalancerNodePorts", True):
        return
    free = (number for number in itertools.chain(NODE_PORTS[86:], NODE_PORTS[:86]) if number not in taken)
    for port in ports:
        if not port.get("nodePort"):
            port["nodePort"] = next(free)


def within_quota(new: Object, others: Iterable[Object], limits: Mapping[str, int]) -> None:
    """Refuse a Service by which its namespace would have more than a quota allows.

    Raises:
        StatusError: 403.
    """
    if not limits:
        return
    name = new["metadata"]["name"]
    rest = [other for other in others if other["metadata"]["namespace"] == new["metadata"]["namespace"]]
    used = {key: sum(_usage(other)[key] for other in rest) for key in limits}
    for key, limit in limits.items():
        wanted = _usage(new)[key]
        if used[key] + wanted > limit:
            raise _over(name, key, wanted, used[key], limit)


def _usage(obj: Object) -> dict[str, int]:
    spec = obj["spec"]
    return {
        "services": 1,
        "services.loadbalancers": int(spec["type"] == "LoadBalancer"),
        "services.nodeports": sum(bool(port.get("nodePort")) for port in spec.get("ports") or ()),
    }


def _over(name: str, key: str, wanted: int, used: int, limit: int) -> StatusError:
    said = f"exceeded quota: quota, requested: {key}={wanted}, used: {key}={used}, limited: {key}={limit}"
    return failure(403, f'services "{name}" is forbidden: {said}', name=name, kind="services")


def _keep_node_ports(ports: list[Object], former: list[Object]) -> None:
    """Let ports without a node port keep the one that they had, by name."""
    named = {port.get("nodePort") for port in ports} - {None, 0}
    had = {port.get("name", ""): port.get("nodePort") for port in former}
    for port in ports:
        number = had.get(port.get("name", ""))
        if not port.get("nodePort") and number and number not in named:
            port["nodePort"] = number
            named.add(number)


def _ingress_problems(new: Object) -> Iterator[Cause]:
    ingresses = (new.get("status", {}).get("loadBalancer") or {}).get("ingress") or []
    path = "status.loadBalancer.ingress"
    if ingresses and new["spec"]["type"] != "LoadBalancer":
        yield Cause(path, "FieldValueForbidden", "may only be used when `spec.type` is LoadBalancer")
    for index, ingress in enumerate(ingresses):
        at = f"{path}[{index}]"
        if ingress.get("ip") and not _is_address(ingress["ip"]):
            yield wrong(f"{at}.ip", ingress["ip"], "must be a valid IP address")
        if ingress.get("ipMode") and not ingress.get("ip"):
            yield Cause(f"{at}.ipMode", "FieldValueForbidden", "may not be specified when `ip` is not set")
        if ingress.get("ipMode") not in {None, "VIP", "Proxy"}:
            yield wrong(f"{at}.ipMode", ingress["ipMode"], 'supported values: "Proxy", "VIP"')
        if ingress.get("hostname") and _is_address(ingress["hostname"]):
            yield wrong(f"{at}.hostname", ingress["hostname"], "must be a DNS name, not an IP address")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text
