"""Which port of its endpoints a Route means by ``spec.port.targetPort``."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import msgspec

from router.admission.text import shown
from router.admission.verdicts import Lack, Reason, Rejection
from router.objects.core import Service, ServicePort
from router.objects.discovery import EndpointPort, EndpointSlice

_MAX_LISTED = 5
_TCP = frozenset({None, "", "TCP"})


class OfService(int):
    """A number that is that of a port of the Service, and never of its pods."""


class PortChoice(msgspec.Struct, frozen=True, gc=False):
    """The port of a slice that is meant, by its name, by its number where none has the name; neither where there is none."""

    number: int | None = None
    name: str | None = None
    service_port: ServicePort | None = None
    """The port of the Service that leads there: where an idled Service is woken."""
    problem: str = ""
    """Why there is none, as a warning."""
    warning: str = ""
    """What its owner may not expect of it."""
    lack: Lack | None = None
    """The same as ``problem``, in a word."""

    def among(self, ports: Iterable[EndpointPort]) -> list[EndpointPort]:
        """Give those of a slice's ports that are meant."""
        usable = [port for port in ports if port.protocol in _TCP and port.port is not None]
        named = [port for port in usable if self.name is not None and (port.name or "") == self.name]
        return named or [port for port in usable if port.port == self.number]


def is_tcp(protocol: str | None) -> bool:
    """Say whether a port is TCP, which it is too where it does not say."""
    return protocol in _TCP


def choose_port(
    service: Service, slices: Iterable[EndpointSlice], target: int | str | None, *, of_service: bool = False
) -> PortChoice | Rejection:
    """Decide which port of a Service's endpoints is meant.

    Args:
        service: the Service.
        slices: its EndpointSlices.
        target: ``spec.port.targetPort``, None where the Route has none.
        of_service: it is a port of the Service, by number or name; only where it has none such, the pods' port that one leads to.
    """
    ports = service.spec.ports or ()
    if of_service and target is not None:
        own = [port for port in ports if target in {port.port, port.name}]
        return _through_service(service, own or [port for port in ports if port.target_port == target], target)
    if target is None:
        return _only_port(service, ports)
    if isinstance(target, OfService):
        return _through_service(service, [port for port in ports if port.port == target], int(target))
    if isinstance(target, str):
        return _through_service(service, [port for port in ports if port.name == target], target)
    return _by_number(service, ports, slices, target)


def _by_number(
    service: Service, ports: tuple[ServicePort, ...], slices: Iterable[EndpointSlice], target: int
) -> PortChoice:
    """Choose by a number, which may be that of a port of the Service, of its pods, or of both.

    OpenShift's router takes the pods' ports of that number alone (endpointsForAlias). So do we, but where it is the number of the
    Service port that leads to them, too: then all pods behind that port are meant, whatever number each of them has.
    """
    slices = [each for each in slices if each.endpoints]
    endpoint_ports = [port for each in slices for port in each.ports or () if port.port == target]
    leading = [port for port in ports if _pod_port(port) == target and is_tcp(port.protocol)]
    numbered = [port for port in ports if port.port == target]
    names = {port.name or "" for port in endpoint_ports if is_tcp(port.protocol)}
    through = next((port for port in numbered if port.name in names and is_tcp(port.protocol)), None)
    if through is not None:
        return PortChoice(number=target, name=through.name, service_port=through)
    if names:
        tcp = [*leading, *(port for port in numbered if is_tcp(port.protocol))]
        return PortChoice(
            number=target,
            service_port=tcp[0] if tcp else None,
            warning=_left_out_warning(service, slices, names, target),
        )
    if leading and not numbered:
        # No endpoint has it now, the Service says that they will.
        return PortChoice(number=target, service_port=leading[0])
    if not numbered and endpoint_ports:
        return PortChoice(problem=_not_tcp(service, str(target), endpoint_ports[0].protocol), lack=Lack.TCP)
    return _through_service(service, numbered, target)


def _only_port(service: Service, ports: tuple[ServicePort, ...]) -> PortChoice | Rejection:
    tcp = [port for port in ports if port.protocol in _TCP]
    if len(tcp) > 1:
        listed = [f"{shown(port.name)} ({shown(port.port)})" for port in tcp[:_MAX_LISTED]]
        more = f" and {len(tcp) - _MAX_LISTED} more" if len(tcp) > _MAX_LISTED else ""
        return Rejection(
            Reason.AMBIGUOUS_TARGET_PORT,
            f"Service {shown_key(service)} has the TCP ports {', '.join(listed)}{more}; "
            "say which in spec.port.targetPort",
        )
    if not tcp:
        problem = "has no TCP port; UDP and SCTP cannot be served" if ports else "has no ports"
        return PortChoice(problem=f"Service {shown_key(service)} {problem}", lack=Lack.TCP if ports else Lack.PORT)
    return PortChoice(name=tcp[0].name, service_port=tcp[0])


def _through_service(service: Service, candidates: list[ServicePort], target: int | str) -> PortChoice:
    tcp = [port for port in candidates if is_tcp(port.protocol)]
    if tcp:
        return PortChoice(name=tcp[0].name, service_port=tcp[0])
    if candidates:
        described = str(target) if isinstance(target, int) else shown(target)
        return PortChoice(problem=_not_tcp(service, described, candidates[0].protocol), lack=Lack.TCP)
    if isinstance(target, int):
        return PortChoice(
            problem=f"neither Service {shown_key(service)} nor its endpoints have a port {target}", lack=Lack.PORT
        )
    return PortChoice(problem=f"Service {shown_key(service)} has no port named {shown(target)}", lack=Lack.PORT)


def _left_out_warning(service: Service, slices: Iterable[EndpointSlice], names: AbstractSet[str], target: int) -> str:
    """Tell of pods whose port of the same name has another number, as while a container's port changes."""
    others = {
        port.name or ""
        for each in slices
        for port in each.ports or ()
        if port.port not in (target, None) and is_tcp(port.protocol) and (port.name or "") in names
    }
    if not others:
        return ""
    return (
        f"endpoints of Service {shown_key(service)} whose port {shown(min(others))} has another number than {target} are left out; "
        "to have them all, say the Service port's name or number in spec.port.targetPort"
    )


def _pod_port(port: ServicePort) -> int | str:
    """Give the port that a Service port leads to, which is its own number where it does not say."""
    return port.port if port.target_port is None else port.target_port


def _not_tcp(service: Service, described: str, protocol: str | None) -> str:
    return f"port {described} of Service {shown_key(service)} is {shown(protocol or '')}; only TCP can be served"


def shown_key(service: Service) -> str:
    """Name a Service in a message; a name that Kubernetes would not take is quoted."""
    return shown_name(service.metadata.namespace, service.metadata.name)


def shown_name(namespace: str, name: str) -> str:
    """Name an object in a message; a name that Kubernetes would not take is quoted."""
    text = f"{namespace}/{name}"
    quoted = shown(text)
    return text if quoted == f"'{text}'" else quoted
