"""What ``tcp-router pair`` is told."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import click

from router.admission.text import is_dns_subdomain, shown
from router.cli.options import LOG_FORMAT, option
from router.cli.types import LabelType, ListenType, PortRangesType, SelectorType, TimeType
from router.errors import SettingsError
from router.pair.model import PairSettings
from router.settings import PortRanges


class AddressOrNameType(click.ParamType[str]):
    """An IP address, or a DNS name that leads to some."""

    name = "address or name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text: an address into its usual form, a name in lower case."""
        text = str(value)
        try:
            return str(ip_address(text))
        except ValueError:
            pass
        if not is_dns_subdomain(text.lower()) or text.replace(".", "").isdecimal():
            self.fail(f"{shown(text)} is neither an IP address nor a DNS name", param, ctx)
        return text.lower()


OPTIONS = (
    option("--local-name", type=LabelType(), required=True, help="Name of the first cluster, in which claims are made: gold."),
    option("--remote-name", type=LabelType(), required=True, help="Name of the other cluster: golddr. Services that lead there end in it."),
    option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), default=None,
           show_default="in a pod its service account, else KUBECONFIG or ~/.kube/config", help="The API server of the first cluster."),
    option("--context", default=None, show_default="the current one", help="The context of that kubeconfig to use."),
    option("--remote-kubeconfig", type=click.Path(path_type=Path, dir_okay=False), default=None,
           help="The API server of the other cluster; read again when its credentials are not accepted any more."),
    option("--remote-context", default=None, show_default="the current one", help="The context of that kubeconfig to use."),
    option("--namespace-selector", env="NAMESPACE_LABELS", type=SelectorType(), default="", show_default="all",
           help="Pair the claims of namespaces of the first cluster with these labels only (a label selector)."),
    option("--claim-ports", type=PortRangesType(), default="", show_default="must be given, but for --forget",
           help="The routers' --claim-ports: what both have of it."),
    option("--local-address", "local_addresses", type=AddressOrNameType(), multiple=True, show_default="what claims say",
           help="Where the other cluster reaches the first one's router: an IP address or a name; repeatable."),
    option("--remote-address", "remote_addresses", type=AddressOrNameType(), multiple=True, show_default="what claims say",
           help="Where the first cluster reaches the other one's router; repeatable."),
    option("--local-ledger", type=LabelType(), default="tcp-router", help="The ledger of the first cluster's router."),
    option("--remote-ledger", type=LabelType(), default="tcp-router", help="The ledger of the other cluster's router."),
    option("--local-router-namespace", type=LabelType(), default="openshift-ingress", help="The namespace of the first cluster's router, with its PortClaims."),
    option("--remote-router-namespace", type=LabelType(), default="openshift-ingress", help="The namespace of the other cluster's router."),
    option("--pair-wait", type=TimeType(zero=True), default="60s",
           help="How long a new claim waits for the other cluster, until it is served in the first one alone."),
    option("--max-claims", type=click.IntRange(1, 10_000), default=100, help="Most claims of a namespace that are paired."),
    option("--lease-namespace", env="POD_NAMESPACE", type=LabelType(), default="openshift-ingress",
           help="Namespace of the Lease, in the first cluster, by which processes agree on who writes."),
    option("--lease-name", type=LabelType(), default="tcp-router-pair", help="Name of that Lease."),
    option("--pod-name", env="POD_NAME", default=None, show_default="the host's name", help="Name of the pod that this process is in."),
    option("--listen", type=ListenType(), default="127.0.0.1:1937", help="Address and port for /healthz, /readyz and /metrics."),
    LOG_FORMAT,
    click.option("--forget", is_flag=True,
                 help="Take back, in the cluster of --kubeconfig alone, what was written for a pair with --remote-name, which is gone for good; then end."),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """The values, in the order of the options."""

    local_name: str
    remote_name: str
    kubeconfig: Path | None
    context: str | None
    remote_kubeconfig: Path | None
    remote_context: str | None
    namespace_selector: str
    claim_ports: PortRanges
    local_addresses: tuple[str, ...]
    remote_addresses: tuple[str, ...]
    local_ledger: str
    remote_ledger: str
    local_router_namespace: str
    remote_router_namespace: str
    pair_wait: int
    max_claims: int
    lease_namespace: str
    lease_name: str
    pod_name: str | None
    listen: tuple[str, int]
    log_format: Literal["auto", "json", "text"]
    forget: bool

    def settings(self) -> PairSettings:
        """Give what of it decisions are made by.

        Raises:
            SettingsError: both clusters have one name, or there is no port to give.
        """
        if self.local_name == self.remote_name:
            raise SettingsError(
                f"--local-name and --remote-name are both {self.local_name}: Services are told apart by them"
            )
        if not self.claim_ports.ranges:
            raise SettingsError("--claim-ports is empty: give the routers' own, such as 30500-31999")
        return PairSettings(
            local_name=self.local_name,
            remote_name=self.remote_name,
            local_address=self.local_addresses,
            remote_address=self.remote_addresses,
            claim_ports=self.claim_ports,
            local_ledger=self.local_ledger,
            remote_ledger=self.remote_ledger,
            local_router_namespace=self.local_router_namespace,
            remote_router_namespace=self.remote_router_namespace,
            pair_wait_s=self.pair_wait / 1000,
            max_claims=self.max_claims,
        )
