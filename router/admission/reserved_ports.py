"""The TCP ports that OpenShift's nodes use themselves, which a router in the host's network must leave alone.

Sources, all maintained by OpenShift:

- MATRIX: the network flow matrix of the product documentation ("Configuring firewall", openshift/openshift-docs,
  snippets/network-flow-matrix.csv), generated from running clusters.
- REGISTRY: the host port registry (openshift/enhancements, dev-guide/host-port-registry.md), where components book ports;
  it also has those that listen on loopback alone, which bar a router that binds all addresses just the same.
- RUNTIMECFG: defaults of the load balancer that bare metal, OpenStack and vSphere run for the API
  (openshift/baremetal-runtimecfg, cmd/monitor), loopback only.

A cluster has only some of these, depending on platform and role of the node. docs/admission.md shows the table to users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from router.settings import PortRanges

Source = Literal["MATRIX", "REGISTRY", "BOTH", "RUNTIMECFG"]


@dataclass(frozen=True, slots=True)
class HostListener:
    """A range of ports, both ends included, and what listens there."""

    first: int
    last: int
    listener: str
    source: Source
    on_premises: bool = False
    """Only where OpenShift itself brings what a cloud has: DNS and load balancers, on platforms of one's own."""


HOST_LISTENERS = (
    HostListener(22, 22, "sshd", "MATRIX"),
    HostListener(53, 53, "CoreDNS of on-premises platforms", "MATRIX"),
    HostListener(80, 80, "OpenShift's router, HTTP", "BOTH"),
    HostListener(111, 111, "rpcbind", "MATRIX"),
    HostListener(443, 443, "OpenShift's router, HTTPS", "BOTH"),
    HostListener(1936, 1936, "OpenShift's router, health and statistics", "BOTH"),
    HostListener(2379, 2380, "etcd", "BOTH"),
    HostListener(3306, 3306, "bare metal provisioning, database", "REGISTRY"),
    HostListener(4180, 4180, "machine-config-daemon, OAuth proxy", "REGISTRY"),
    HostListener(5050, 5051, "bare metal provisioning, Ironic", "BOTH"),
    HostListener(6080, 6080, "kube-apiserver, readiness", "BOTH"),
    HostListener(6180, 6183, "bare metal provisioning, images", "BOTH"),
    HostListener(6385, 6388, "bare metal provisioning, Ironic", "BOTH"),
    HostListener(6443, 6443, "Kubernetes API", "BOTH"),
    HostListener(8080, 8080, "network-operator", "MATRIX"),
    HostListener(8089, 8089, "bare metal provisioning, Ironic conductor", "REGISTRY"),
    HostListener(8200, 8219, "CSI drivers, metrics", "REGISTRY"),
    HostListener(8797, 8798, "machine-config-daemon", "BOTH"),
    HostListener(
        9000, 9999, "host-level services: metrics, node-exporter, OVN-Kubernetes, CRI-O, etcd metrics, HAProxy", "BOTH"
    ),
    HostListener(10010, 10010, "CRI-O, streaming", "REGISTRY"),
    HostListener(10248, 10260, "kubelet, kube-proxy, controller managers, scheduler", "BOTH"),
    HostListener(10263, 10263, "cloud-node-manager", "REGISTRY"),
    HostListener(10300, 10309, "CSI drivers, health", "BOTH"),
    HostListener(10357, 10357, "cluster-policy-controller, kube-apiserver checks", "BOTH"),
    HostListener(10443, 10444, "OpenShift's router, internal frontends", "REGISTRY"),
    HostListener(11443, 11443, "kube-scheduler, recovery controller", "REGISTRY"),
    HostListener(17697, 17697, "kube-apiserver, endpoint checks", "BOTH"),
    HostListener(18080, 18080, "CoreDNS of on-premises platforms, health", "MATRIX", on_premises=True),
    HostListener(22623, 22624, "machine-config-server", "BOTH"),
    HostListener(29101, 29103, "OpenShift SDN and OVN-Kubernetes, metrics", "REGISTRY"),
    HostListener(29445, 29445, "HAProxy of on-premises platforms, statistics", "RUNTIMECFG"),
    HostListener(30000, 32767, "NodePort Services (the default range)", "MATRIX"),
    HostListener(60000, 60000, "baremetal-operator, metrics", "REGISTRY"),
)
"""Sorted, without overlaps."""

HOST_NETWORK_PORTS = PortRanges(tuple((each.first, each.last) for each in HOST_LISTENERS if not each.on_premises))
"""The default of ``--reserved-ports`` with ``--host-network``."""

ON_PREMISES_PORTS = PortRanges(tuple((each.first, each.last) for each in HOST_LISTENERS if each.on_premises))
"""Those beside, with ``--on-premises``."""
