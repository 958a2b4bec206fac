"""Where Services of type ExternalName lead to: which names may be looked up, and to which of their addresses may be connected.

Whoever has a hand in a name's zone says where it leads, and another thing a second later. So each answer is judged as endpoints
are, by its addresses, and HAProxy is given these and never a name. A CNAME may lead anywhere: what counts is what comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from router.admission.addresses import LOOPBACK, is_private, judge_address
from router.admission.endpoints import ServiceEndpoints, server_name, shown_dropped, shown_loop
from router.admission.own_places import Loops
from router.admission.pods import Found
from router.admission.target_port import PortChoice, choose_port, shown_key
from router.admission.text import ANY_HOST, HOSTS_BELOW, is_host, shown
from router.admission.verdicts import Reason, Rejection
from router.objects.core import Service
from router.objects.resolved import ResolvedName
from router.settings import MAX_PORT, AdmissionSettings

EXTERNAL_NAME = "ExternalName"
"""The type of a Service."""
MAX_ADDRESSES = 32
"""Of one name that are led to."""
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class ExternalNames:
    """Which names may be led to, and how their addresses are judged."""

    allowed: tuple[str, ...] = ()
    """``*.example.com`` is all names below it, at whatever depth, ``db.example.com`` that name alone, ``*`` all (``text.is_host_pattern``)."""
    private: bool = False
    """Private addresses too."""
    loopback: bool = False

    @classmethod
    def of(cls, settings: AdmissionSettings) -> ExternalNames:
        """Give what settings say."""
        return cls(settings.external_names, settings.external_names_private, settings.allow_loopback_endpoints)

    def look(self, service: Service) -> str | Rejection:
        """Give the name that a Service of type ExternalName leads to, or why nobody may."""
        if not self.allowed:
            return Rejection(
                Reason.EXTERNAL_NAME_NOT_ALLOWED,
                f"Service {shown_key(service)} is of type ExternalName; this router leads to pods only",
            )
        name = spelled(service.spec.external_name)
        if name is None:
            return Rejection(
                Reason.EXTERNAL_NAME_NOT_ALLOWED,
                f"Service {shown_key(service)} is of type ExternalName, and {shown(service.spec.external_name)} is no DNS name",
            )
        if not any(_covers(each, name) for each in self.allowed):
            return Rejection(
                Reason.EXTERNAL_NAME_NOT_ALLOWED,
                f"Service {shown_key(service)} leads to the name {name}, which is not allowed; allowed are {self._listed()}",
            )
        return name

    def _listed(self) -> str:
        more = f" and {len(self.allowed) - _MAX_LISTED} more" if len(self.allowed) > _MAX_LISTED else ""
        return f"{', '.join(self.allowed[:_MAX_LISTED])}{more}"


def spelled(name: str) -> str | None:
    """Give a name as it is looked up: in lower case, without the dot at its end; None for what is no DNS name."""
    text = name.lower().removesuffix(".") if name.isascii() else ""
    return text if is_host(text) else None


def _covers(pattern: str, name: str) -> bool:
    if pattern == ANY_HOST:
        return True
    return name.endswith(pattern[1:]) if pattern.startswith(HOSTS_BELOW) else name == pattern


def find_addresses(  # noqa: PLR0913 - what there is to know of a name
    service: Service,
    name: str,
    resolved: ResolvedName | None,
    target_port: int | str | None,
    *,
    names: ExternalNames,
    loops: Loops,
    most: int,
) -> ServiceEndpoints | Rejection:
    """Find where a Service of type ExternalName leads to.

    Args:
        service: the Service.
        name: what it leads to (``ExternalNames.look``).
        resolved: the last answer, None before the first.
        target_port: ``spec.port.targetPort``, None where the Route has none.
        names: how addresses are judged.
        loops: tells which addresses are the routers themselves.
        most: how many addresses are looked at.

    Returns:
        One endpoint for each address, sorted by name; or why no Route may lead to this Service.
    """
    choice = choose_port(service, (), target_port)
    if isinstance(choice, Rejection):
        return choice
    port = _port(service, choice, target_port)
    if port is None:
        return ServiceEndpoints((), (), (choice.problem,))
    if not 1 <= port <= MAX_PORT:
        return ServiceEndpoints(
            (), (), (f"Service {shown_key(service)} has no port {shown(port)} that can be connected to",)
        )
    if resolved is None or spelled(resolved.name) != name:
        # It will be known in an instant, or told that it is not.
        return ServiceEndpoints((), (), ())
    most = min(most, MAX_ADDRESSES)
    dropped: set[str] = set()
    port_name = choice.service_port.name if choice.service_port is not None else ""
    ready = {
        Found(
            draining=False,
            name=server_name(address, service.metadata.name, port_name, address, port),
            address=address,
            port=port,
            check=True,
            service=service.metadata.name,
            pod="",
        )
        for address in _accepted(resolved.addresses[:most], port, dropped, names, loops)
    }
    warnings = [choice.warning] if choice.warning else []
    if resolved.problem:
        warnings.append(f"Service {shown_key(service)}: {resolved.problem}")
    if len(resolved.addresses) > most:
        warnings.append(
            f"Service {shown_key(service)}: {name} has {len(resolved.addresses)} addresses; the first {most} are used"
        )
    if dropped:
        warnings.append(f"addresses of {name} (Service {shown_key(service)}) were refused: {shown_dropped(dropped)}")
    return ServiceEndpoints(tuple(sorted(ready)), (), tuple(warnings))


def _port(service: Service, choice: PortChoice, target_port: int | str | None) -> int | None:
    """Give the number that is connected to. Behind a name there is no pod whose ports could have names, or other numbers."""
    if choice.service_port is not None:
        pods_port = choice.service_port.target_port
        return pods_port if isinstance(pods_port, int) and pods_port else choice.service_port.port
    # Kubernetes demands no ports of such a Service.
    return target_port if isinstance(target_port, int) and not service.spec.ports else None


def _accepted(
    addresses: tuple[str, ...], port: int, dropped: set[str], names: ExternalNames, loops: Loops
) -> Iterator[str]:
    for text in addresses:
        address, problem = judge_address(text)
        if problem is not None and not (problem == LOOPBACK and names.loopback):
            dropped.add(f"{shown(text)} ({problem})")
        elif problem is None and not names.private and is_private(address):
            dropped.add(f"{address} (private; the router's admin allows such by --external-names-private)")
        elif loops.lead_back(address, port):
            dropped.add(shown_loop(address, port))
        else:
            yield address
