"""``tcp-router network-policy``: what lets a router reach the pods of an asker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from router.admission.network_policy import PodPort, RouterPeer, policy_for, policy_name, ports_of
from router.admission.target_port import shown_key
from router.admission.text import is_dns_label, is_dns_subdomain, shown
from router.cli.columns import printable
from router.cli.exits import UNUSABLE_INPUT, clear_errors
from router.cli.inputs import STANDARD_INPUT, load_objects
from router.cli.network_policy_targets import NAMED_KINDS, ROUTER, NamedKind, all_of, targets_of, there
from router.cli.options import option
from router.cli.types import LabelType, SelectorType
from router.errors import ApiError, ApiNotFound, SettingsError
from router.model import ROUTE_KIND, Asker
from router.objects.core import Service
from router.objects.kinds import AskingObject
from router.objects.labels import as_selector
from router.objects.meta import ObjectKey
from router.settings import KubeSettings

_NOT_ALL = 1
_HELP = """\
Print the NetworkPolicies that let the router reach the pods of askers: exactly these pods, by their Services' selectors, at exactly the ports that are led to.

An asker is NAMESPACE/NAME of a Route, or else of a Service, or KIND/NAMESPACE/NAME, and is read from the API server of the kubeconfig; a
TransportServerClaim can be named, too. Paths are manifests (files, folders, or - for standard input) with askers and their Services; of these, askers that are named, or else all, are printed. What is a path is taken for one.

With --apply they are created, or brought up to date, under names of their own, by the rights of whoever runs this. A policy of such a name that this
command did not make is left alone.

\b
Exit status:
  0  all are printed, or applied
  1  some are not; standard error says why
  2  a manifest, an option or the kubeconfig cannot be used
"""

Find = Callable[[ObjectKey], Service | None]


@dataclass(frozen=True, slots=True)
class _Name:
    """An asker as it is named: without a kind it is a Route, else a Service, else a claim."""

    kind: NamedKind | None
    key: ObjectKey

    @property
    def kinds(self) -> tuple[NamedKind, ...]:
        return (self.kind,) if self.kind is not None else NAMED_KINDS


class _Doubts:
    """What cannot be printed, told as it is found."""

    def __init__(self) -> None:
        self.are_any = False

    def tell(self, text: str) -> None:
        self.are_any = True
        click.echo(printable(f"Error: {text}"), err=True)


@click.command("network-policy", help=_HELP)
@click.argument("what", nargs=-1, required=True, metavar="ASKER...|PATH...")
@option("--apply", "applies", is_flag=True, help="Create them, or bring them up to date, and print which.")
@option("--host-network/--no-host-network", default=False, help="The router runs on the host's network.")
@option("--router-namespace", type=LabelType(), default="openshift-ingress", help="The namespace of the router's pods.")
@option(
    "--router-pod-selector",
    type=SelectorType(),
    default=f"app.kubernetes.io/name={ROUTER}",
    help="Labels of the router's pods, where they have a network of their own (a label selector).",
)
@option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    default=None,
    show_default="in a pod its service account, else KUBECONFIG or ~/.kube/config",
    help="The cluster of the askers.",
)
@option("--context", default=None, show_default="the current one", help="Context of the kubeconfig.")
@clear_errors
def network_policy(  # noqa: PLR0913 - its options
    what: tuple[str, ...],
    *,
    applies: bool,
    host_network: bool,
    router_namespace: str,
    router_pod_selector: str,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Print or apply NetworkPolicies."""
    selector = as_selector(router_pod_selector)
    if selector is None or selector == as_selector(""):
        raise SettingsError(f"--router-pod-selector {router_pod_selector!r} is nothing that a NetworkPolicy can say")
    router = RouterPeer(namespace=router_namespace, host_network=host_network, pod_selector=selector)
    paths = tuple(Path(each) for each in what if _is_path(each))
    names = tuple(_name(each) for each in what if not _is_path(each))
    doubts = _Doubts()
    api: Any = None
    if applies or not paths:
        api = _connect(KubeSettings(kubeconfig=kubeconfig, context=context))
    try:
        policies = _of_paths(paths, names, router, doubts) if paths else _of_api(api, names, router, doubts)
        found = list(policies)
        if applies:
            _apply(api, found, router, doubts)
        elif needed := _needed(api, found, router) if api is not None else found:
            click.echo(yaml.safe_dump_all(needed, sort_keys=False), nl=False)
    finally:
        if api is not None:
            api.close()
    if doubts.are_any:
        raise SystemExit(_NOT_ALL)


def _is_path(text: str) -> bool:
    return text == str(STANDARD_INPUT) or Path(text).exists()


def _name(text: str) -> _Name:
    """Read the name of an asker.

    Raises:
        SettingsError: it is none, nor a path.
    """
    parts = text.split("/")
    by_kind = {each.kind.lower(): each for each in NAMED_KINDS}
    kind = by_kind.get(parts[0].lower()) if len(parts) == 3 else None  # noqa: PLR2004 - kind, namespace, name
    namespace, name = parts[-2:] if len(parts) in {2, 3} else ("", "")
    if not is_dns_label(namespace) or not is_dns_subdomain(name) or (len(parts) == 3 and kind is None):  # noqa: PLR2004
        kinds = " or ".join(sorted(by_kind))
        raise SettingsError(
            f"{shown(text)} is no file or folder, and no asker: NAMESPACE/NAME, or KIND/NAMESPACE/NAME, where KIND is {kinds}"
        )
    return _Name(kind, ObjectKey(namespace, name))


def _of_paths(
    paths: tuple[Path, ...], names: tuple[_Name, ...], router: RouterPeer, doubts: _Doubts
) -> Iterator[dict[str, Any]]:
    objects, problems = load_objects(paths)
    for name in names or [_Name(*each) for each in all_of(objects)]:
        found = [obj for kind in name.kinds if (obj := there(objects, kind, name.key)) is not None]
        if not found:
            doubts.tell(f"{name.key} is not in these manifests")
        for obj in found[:1]:
            yield from _policies(obj, objects.services.get, router, doubts)
    if problems:
        raise SystemExit(UNUSABLE_INPUT)


def _of_api(api: Any, names: tuple[_Name, ...], router: RouterPeer, doubts: _Doubts) -> Iterator[dict[str, Any]]:
    from router.cli.network_policy_api import read_asker, read_service  # noqa: PLC0415 - as below

    for name in names:
        try:
            obj = read_asker(api, name.kinds, name.key)
            yield from _policies(obj, lambda key: read_service(api, key), router, doubts)
        except ApiNotFound as error:
            doubts.tell(f"{name.key}: {error}")


def _connect(settings: KubeSettings) -> Any:
    # Not at the top: manifests are judged without the kubernetes client.
    from router.kube.connection import Connection  # noqa: PLC0415

    return Connection.open(settings)


def _policies(obj: AskingObject, find: Find, router: RouterPeer, doubts: _Doubts) -> Iterator[dict[str, Any]]:
    """Make the policies that an asker needs, one for each of its Services."""
    targets = targets_of(obj)
    for problem in targets.problems:
        doubts.tell(problem)
    ports: dict[ObjectKey, set[PodPort]] = {}
    services: dict[ObjectKey, Service] = {}
    for request, key in targets.services:
        asker = request.asker
        service = services.get(key) or find(key)
        if service is None:
            doubts.tell(f"{asker}: Service {key} does not exist")
            continue
        services[key] = service
        led_to = ports_of(service, request.target_port, of_service=request.by_service_port)
        if isinstance(led_to, str):
            doubts.tell(f"{asker}: {led_to}")
        elif not service.spec.selector:
            doubts.tell(
                f"{asker}: Service {shown_key(service)} has no selector, so that there are no pods for a policy to select; "
                "whoever wrote its endpoints knows what is behind them"
            )
        else:
            ports.setdefault(key, set()).update(led_to)
    for key in sorted(ports):
        name = _policy_name(targets.asker, key, is_only=len(ports) == 1)
        yield policy_for(
            name,
            key.namespace,
            f"{targets.asker}, Service {key.name}",
            services[key].spec.selector or {},
            ports[key],
            router,
        )


def _policy_name(asker: Asker, service: ObjectKey, *, is_only: bool) -> str:
    kind = "" if asker.kind == ROUTE_KIND else asker.kind.lower()
    return policy_name("allow", ROUTER, "to", kind, asker.name, "" if is_only else service.name)


def _needed(api: Any, policies: list[dict[str, Any]], router: RouterPeer) -> list[dict[str, Any]]:
    """Give the policies without those in whose place there is one that lets the router in, which is told."""
    from router.cli.network_policy_api import instead  # noqa: PLC0415 - as above

    needed = []
    for policy in policies:
        try:
            there = instead(api, policy, router)
        except ApiError:
            # Who may not look at policies is shown what is needed where there is none.
            there = ""
        if there:
            click.echo(printable(f"{_shown(policy)} {there}"), err=True)
        else:
            needed.append(policy)
    return needed


def _shown(policy: dict[str, Any]) -> str:
    return f"NetworkPolicy {policy['metadata']['namespace']}/{policy['metadata']['name']}"


def _apply(api: Any, policies: list[dict[str, Any]], router: RouterPeer, doubts: _Doubts) -> None:
    from router.cli.network_policy_api import apply  # noqa: PLC0415 - as above

    for policy in policies:
        shown_name = _shown(policy)
        try:
            click.echo(f"{shown_name} {apply(api, policy, router)}")
        except ApiError as error:
            doubts.tell(f"{shown_name}: {error}")
