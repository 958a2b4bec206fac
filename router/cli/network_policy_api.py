"""What ``tcp-router network-policy`` asks of an API server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from router import shapes
from router.admission.network_policy import ABOUT, MANAGED_BY, Passage, RouterPeer, TargetPods, judge, sufficient
from router.cli.network_policy_targets import NamedKind
from router.cluster.decoding import decode_object
from router.cluster.kinds import SERVICES, Resource
from router.errors import ApiConflict, ApiForbidden, ApiNotFound, ApiUnreadable
from router.kube.api import Api
from router.kube.pages import Pages
from router.objects.core import Service
from router.objects.decoding import Misfit
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.objects.namespace import Namespace
from router.objects.networking import NetworkPolicy
from router.shapes import read_any, reader

_read_policy = reader(NetworkPolicy)
_POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"


def read_asker(api: Api, kinds: Iterable[NamedKind], key: ObjectKey) -> AskingObject:
    """Read an object of the first of some kinds of which there is one of this name.

    Raises:
        ApiNotFound: there is none.
        ApiError: as the API server answered.
    """
    for kind in kinds:
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        found = _read(api, kind.struct, f"{Resource(kind.plural, root, '').path(key.namespace)}/{key.name}")
        if found is not None:
            return found  # type: ignore[no-any-return]  # of a kind that asks
    raise ApiNotFound(f"there is no {' or '.join(kind.kind for kind in kinds)} of this name")


def read_service(api: Api, key: ObjectKey) -> Service | None:
    """Read a Service; None where there is none.

    Raises:
        ApiError: as the API server answered.
    """
    found: Service | None = _read(api, Service, f"{SERVICES.path(key.namespace)}/{key.name}")
    return found


def _read(api: Api, kind: type[Any], path: str) -> Any:
    try:
        decoded = decode_object(kind, api.get(path))
    except ApiNotFound:
        return None
    if isinstance(decoded, Misfit):
        raise ApiUnreadable(f"GET {path}: {decoded}")
    return decoded


def _is_needed(api: Api, collection: str, policy: dict[str, Any]) -> bool:
    """Say whether there is a policy that selects, or may select, the pods of this one."""
    spec = policy["spec"]
    pods = TargetPods(
        namespace=policy["metadata"]["namespace"], labels=spec["podSelector"]["matchLabels"], ports=frozenset()
    )
    nobody = RouterPeer(namespace="")
    return judge(read_policies(api, collection), pods, nobody).passage is not Passage.UNRESTRICTED


def read_policies(api: Api, collection: str) -> Iterator[NetworkPolicy]:
    """Read the policies of a namespace.

    Raises:
        ApiError: as the API server answered.
    """
    pages = Pages(api, collection)
    while not pages.is_over:
        for raw in pages.read().items:
            yield _read_policy(raw)


def instead(api: Api, policy: dict[str, Any], router: RouterPeer) -> str:
    """Say that a policy is not needed, where others let the router in to the same pods and ports; no text where it is.

    Those that this command made for other askers go with these, and do not count.

    Raises:
        ApiError: as the API server answered.
    """
    metadata, spec = policy["metadata"], policy["spec"]
    ports = frozenset(each["port"] for rule in spec["ingress"] for each in rule["ports"])
    pods = TargetPods(namespace=metadata["namespace"], labels=spec["podSelector"]["matchLabels"], ports=ports)
    policies = read_policies(api, _POLICIES.format(metadata["namespace"]))
    label, value = MANAGED_BY
    others = [each for each in policies if (each.metadata.labels or {}).get(label) != value]
    letting = sufficient(others, pods, router.seen_in(_labels_of(api, router.namespace))) if others else ()
    named = " and ".join(letting)
    return f"not needed: {named} {'lets' if len(letting) == 1 else 'let'} the router in already" if letting else ""


def _labels_of(api: Api, namespace: str) -> Mapping[str, str]:
    """Give the labels of a namespace; none where they cannot be read, for every namespace has its name in any case."""
    try:
        found = _read(api, Namespace, f"/api/v1/namespaces/{namespace}")
    except (ApiForbidden, ApiUnreadable):
        return {}
    return found.metadata.labels or {} if found is not None else {}


def apply(api: Api, policy: dict[str, Any], router: RouterPeer) -> str:
    """Create a policy, or make the one of its name what it is to be; say which.

    Where others let the router in already, none is created.

    Where no policy selects its pods, none is created: everybody may reach these pods, and the first policy that selects them keeps all others out.

    Raises:
        ApiConflict: the policy of this name is somebody else's.
        ApiError: as the API server answered.
    """
    collection = _POLICIES.format(policy["metadata"]["namespace"])
    path = f"{collection}/{policy['metadata']['name']}"
    try:
        there = read_any(api.get(path))
    except ApiNotFound:
        if not _is_needed(api, collection, policy):
            return "not needed: no NetworkPolicy selects its pods, and with this one nobody else could reach them"
        if there_is := instead(api, policy, router):
            return there_is
        api.post(collection, shapes.write(policy))
        return "created"
    label, value = MANAGED_BY
    metadata = there.get("metadata", {})
    if (metadata.get("labels") or {}).get(label) != value:
        raise ApiConflict(
            f"there is one of this name that this command did not make (no label {label}={value}); it is left alone"
        )
    made_for = (metadata.get("annotations") or {}).get(ABOUT)
    if made_for != policy["metadata"]["annotations"][ABOUT]:
        raise ApiConflict(f"there is one of this name that was made for another: {made_for}; it is left alone")
    if there.get("spec") == policy["spec"]:
        return "unchanged"
    api.put(
        path,
        shapes.write({**policy, "metadata": {**policy["metadata"], "resourceVersion": metadata["resourceVersion"]}}),
    )
    return "configured"
