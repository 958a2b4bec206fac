"""What the Service in front of the router shall have of its ports, decided from what is served and from that Service as it is; pure.

Its entries are a map by port and protocol, of which ``metadata.managedFields`` says who owns what (server-side apply). Ours are named
``tcp-<port>``. What others have stays theirs: an entry of another manager that differs from ours in anything is not applied, for an
apply that is not forced would be refused as a whole; one that is just as ours would be is applied, and so stays when the other gives it up.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from router.objects.core import CLASS_PREFIX
from router.objects.published import PublishedPort, PublishedService
from router.settings import PortRanges
from router.shapes import write

_TCP = "TCP"
_NO_PORTS: Mapping[int, str] = {}
_WHOLE = frozenset({"f:port", "f:protocol", "f:name"})
"""What no entry may lack, where there are several."""
_MAX_MANAGER = 128
"""Of a field manager's name: apimachinery, pkg/apis/meta/v1/validation."""


@dataclass(frozen=True, slots=True)
class PublishRules:
    """What an admin says of the Service."""

    manager: str
    """The field manager by which we apply."""
    node_ports: PortRanges
    """In which a port is asked for as its own node port."""
    max_ports: int | None
    """How many entries it may have, those of others too; None is any number."""

    @classmethod
    def of(cls, ledger: str, node_ports: PortRanges, max_ports: int | None) -> PublishRules:
        """Give the rules of the routers of one ledger, which all apply as one manager."""
        return cls(f"tcp-router-publish/{ledger}"[:_MAX_MANAGER], node_ports, max_ports)

    def names_node_port(self, service: PublishedService, port: int) -> bool:
        """Whether a port is asked for as its own node port."""
        return service.gives_node_ports and port in self.node_ports


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as we apply it."""

    port: int
    node_port: int | None = None
    is_named: bool = True
    has_target: bool = True
    """Whether it has name and target port, which somebody else may have taken over."""

    @property
    def name(self) -> str:
        """The name that it has."""
        return f"tcp-{self.port}"

    def as_json(self) -> dict[str, Any]:
        """Give it for the body."""
        said = {
            "name": self.name if self.is_named else None,
            "port": self.port,
            "protocol": _TCP,
            "targetPort": self.port if self.has_target else None,
            "nodePort": self.node_port,
        }
        return {key: value for key, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be applied, and what there is to say to those who are served."""

    entries: tuple[Entry, ...]
    """All that we shall own; what we own beside goes."""
    fresh: frozenset[int]
    """The ports of those of them that are not in the Service as they shall be."""
    owned: frozenset[int]
    """The ports of those that we own now."""
    is_level: bool
    """Whether there is nothing to apply."""
    left_out: Mapping[int, str]
    """Served ports by which clients cannot come in through the Service, and why."""
    client_ports: Mapping[int, int]
    """Those that clients reach by another port: the node port that the API server chose."""

    def part(self, group: Collection[int]) -> tuple[Entry, ...]:
        """Give the entries with no news but those of a group: what is there already stays as it is."""
        others = self.fresh - frozenset(group)
        kept = (Entry(each.port) if each.port in others else each for each in self.entries)
        return tuple(each for each in kept if each.port not in others or each.port in self.owned)


def decide(
    served: Collection[int],
    service: PublishedService | None,
    rules: PublishRules,
    refused: Mapping[int, str] = _NO_PORTS,
) -> Decision:
    """Decide what to apply.

    Args:
        served: the ports that are served.
        service: as it is; None where it does not exist.
        rules: of the admin.
        refused: ports that the API server refused, and why; they are left out until they are tried again.
    """
    problem = _problem(service)
    if service is None or problem:
        return nothing(served, problem)
    there = _There.of(service, rules.manager)
    entries: dict[int, Entry] = {}
    left_out: dict[int, str] = {}
    room = None if rules.max_ports is None else rules.max_ports - there.others
    # Who is in it stays in it, and of newcomers the lowest comes first: the same on every replica.
    for port in sorted(served, key=lambda port: (not there.is_ours(port), port)):
        entry = Entry(port, port if rules.names_node_port(service, port) and there.may_be_node_port(port) else None)
        found = there.by_port.get(port)
        if found is not None and there.is_anothers(port):
            if _is_as(found, entry) and (port not in refused or there.is_ours(port)):
                entries[port] = entry
            elif not _leads_to(found, port):
                left_out[port] = f"its entry {there.whose(found)} leads to another port"
        elif (other := there.in_the_way(entry)) is not None:
            left_out[port] = (
                f"its entry {there.whose(other)} has the {_what(other, entry)} that this port would have there"
            )
        elif port in refused and not there.is_ours(port):
            left_out[port] = refused[port]
        elif room is not None and room <= 0 and not there.is_ours(port):
            left_out[port] = f"it has as many ports as --publish-service-max-ports allows ({rules.max_ports})"
        else:
            entries[port] = Entry(port) if port in refused else entry
            room = room - 1 if room is not None else None
    kept = _kept({**there.handed_on(entries, served), **entries}, there)
    fresh = frozenset(port for port, entry in kept.items() if not there.has(entry))
    return Decision(
        entries=tuple(kept[port] for port in sorted(kept)),
        fresh=fresh,
        owned=there.owned,
        is_level=not fresh and kept.keys() == there.owned,
        left_out=left_out,
        client_ports=_client_ports(service, served, there),
    )


def nothing(served: Collection[int], problem: str) -> Decision:
    """Decide to apply nothing, for a reason that everybody who is served is told."""
    left_out: dict[int, str] = dict.fromkeys(served, problem)
    return Decision((), frozenset(), frozenset(), is_level=True, left_out=left_out, client_ports={})


def body_of(service: PublishedService, entries: Iterable[Entry]) -> bytes:
    """Give the body of the apply. The uid is a precondition: what was decided about one Service is not written to another of its name."""
    metadata = service.metadata
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
        "spec": {"ports": [entry.as_json() for entry in entries]},
    }
    return write(body)


def is_of_our_class(service: PublishedService) -> bool:
    """Say whether a router of this kind serves the Service itself, so that what it is in front of would be itself."""
    return service.spec.type == "LoadBalancer" and (service.spec.load_balancer_class or "").startswith(CLASS_PREFIX)


def _problem(service: PublishedService | None) -> str:
    if service is None:
        return "there is no such Service"
    if is_of_our_class(service):
        return f"its loadBalancerClass is {service.spec.load_balancer_class}, by which it would lead to itself"
    if service.spec.type == "ExternalName":
        return "it is of type ExternalName"
    unnamed = next((each.port for each in service.spec.ports or () if not each.name), None)
    return f"its entry {unnamed} has no name, beside which Kubernetes takes no other" if unnamed is not None else ""


@dataclass(frozen=True, slots=True)
class _There:
    """The entries that there are, and whose they are."""

    by_port: Mapping[int, PublishedPort]
    """Of TCP."""
    managers: Mapping[int, Mapping[str, frozenset[str]]]
    """Who owns what of the entry of a TCP port beside us."""
    owned: frozenset[int]
    """TCP ports of the entries of which we own something."""
    names: Mapping[str, PublishedPort]
    """The entries that are not ours alone, by name."""
    node_ports: Mapping[int, PublishedPort]
    """Those of TCP by node port, ours too."""

    @classmethod
    def of(cls, service: PublishedService, manager: str) -> _There:
        ports = service.spec.ports or ()
        by_port = {each.port: each for each in ports if each.protocol == _TCP}
        managers: dict[int, dict[str, frozenset[str]]] = {}
        owned: set[int] = set()
        for managed in service.metadata.managed_fields or ():
            of_port = {number: fields for key, fields in managed.ports.items() if (number := _tcp_port(key)) in by_port}
            if managed.manager == manager and managed.operation == "Apply":
                owned.update(of_port)
                continue
            for number, fields in of_port.items():
                theirs = managers.setdefault(number, {})
                theirs[managed.manager] = theirs.get(managed.manager, frozenset()) | fields
        anothers = [each for each in ports if each.protocol != _TCP or each.port in managers or each.port not in owned]
        return cls(
            by_port,
            managers,
            frozenset(owned),
            {each.name: each for each in anothers},
            {each.node_port: each for each in by_port.values() if each.node_port},
        )

    @property
    def others(self) -> int:
        """How many entries are not ours alone."""
        return len(self.names)

    def is_ours(self, port: int) -> bool:
        """Whether the entry of a port is ours, or ours too."""
        return port in self.owned

    def is_anothers(self, port: int) -> bool:
        """Whether somebody else has something of the entry of a port; one of which nobody is known is not ours, either."""
        return port in self.by_port and (port in self.managers or port not in self.owned)

    def handed_on(self, entries: Mapping[int, Entry], served: Collection[int]) -> Mapping[int, Entry]:
        """Give the entries of ours of which somebody else took over a part, as a hand that edits does, and that are to stay.

        While the port is served, for what a hand did is not ours to undo; and where somebody owns the entry itself and not all that makes one:
        without us the API server would refuse it, and all that is applied with it.
        """
        handed: dict[int, Entry] = {}
        for port in self.owned - entries.keys():
            theirs = frozenset[str]().union(*self.managers.get(port, {}).values())
            if theirs and not theirs >= _WHOLE and (port in served or "." in theirs):
                handed[port] = Entry(port, is_named="f:name" not in theirs, has_target="f:targetPort" not in theirs)
        return handed

    def may_be_node_port(self, port: int) -> bool:
        """Whether to ask for a port as its own node port.

        Not where the API server gave the number to another entry of ours; nor where it gave the port another one, which clients were told.
        """
        given, own = self.node_ports.get(port), self.by_port.get(port)
        if given is not None and given.port != port and not self.is_anothers(given.port):
            return False
        return own is None or not self.is_ours(port) or own.node_port in {0, port}

    def in_the_way(self, entry: Entry) -> PublishedPort | None:
        """Give the entry of another that has the name or the node port that one of ours needs."""
        named = self.names.get(entry.name)
        if named is not None and (named.protocol != _TCP or named.port != entry.port):
            return named
        given = self.node_ports.get(entry.node_port) if entry.node_port is not None else None
        if given is not None and given.port != entry.port and self.is_anothers(given.port):
            return given
        return None

    def has(self, entry: Entry) -> bool:
        """Whether we own an entry, and it is as it shall be."""
        found = self.by_port.get(entry.port)
        if not (entry.is_named and entry.has_target):
            return True
        return found is not None and entry.port in self.owned and _is_as(found, entry)

    def whose(self, port: PublishedPort) -> str:
        """Name an entry, and who has it."""
        names = sorted(self.managers.get(port.port, ())) if port.protocol == _TCP else ()
        return f"{port.name or port.port} ({', '.join(names)})" if names else f"{port.name or port.port}"


def _kept(entries: Mapping[int, Entry], there: _There) -> Mapping[int, Entry]:
    """Give the entries; where there would be none at all, which no Service may have, the one that is there stays."""
    if entries or there.others or not there.owned:
        return entries
    last = min(there.owned)
    return {last: Entry(last)}


def _client_ports(service: PublishedService, served: Collection[int], there: _There) -> Mapping[int, int]:
    if service.spec.type != "NodePort":
        return {}
    found = {port: there.by_port[port] for port in served if port in there.by_port}
    return {
        port: each.node_port
        for port, each in found.items()
        if each.node_port and each.node_port != port and _leads_to(each, port)
    }


def _is_as(found: PublishedPort, entry: Entry) -> bool:
    """Whether an entry that is there is what we would apply."""
    return (
        found.name == entry.name
        and found.target_port == entry.port
        and (entry.node_port is None or found.node_port == entry.node_port)
    )


def _leads_to(found: PublishedPort, port: int) -> bool:
    return found.target_port in {None, port}


def _what(other: PublishedPort, entry: Entry) -> str:
    return "name" if other.name == entry.name else "node port"


def _tcp_port(key: str) -> int | None:
    """Read the key of an entry, as managedFields has it: ``k:{"port":8443,"protocol":"TCP"}``."""
    try:
        keys = json.loads(key.removeprefix("k:"))
    except ValueError:
        return None
    if not isinstance(keys, dict) or keys.get("protocol", _TCP) != _TCP:
        return None
    port = keys.get("port")
    return port if isinstance(port, int) else None
