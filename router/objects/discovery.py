"""discovery.k8s.io/v1: EndpointSlices."""

from __future__ import annotations

from router.objects.meta import Fields, ObjectKey, WholeObject


class EndpointConditions(Fields, frozen=True):
    """Conditions of an endpoint; None is unknown, which the API says to read as ready and serving."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(Fields, frozen=True):
    """The object behind an endpoint, a Pod as a rule."""

    kind: str = ""
    name: str = ""
    namespace: str = ""


class Endpoint(Fields, frozen=True):
    """One endpoint of a slice: one pod."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    target_ref: TargetRef | None = None
    hostname: str | None = None


class EndpointPort(Fields, frozen=True):
    """A port that every endpoint of the slice has. The API's null for name and protocol reads as "" and TCP."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class EndpointSlice(WholeObject, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice."""

    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None

    @property
    def service(self) -> ObjectKey:
        """The Service that the slice belongs to, by its label; the name is empty where it has none."""
        labels = self.metadata.labels or {}
        return ObjectKey(self.metadata.namespace, labels.get("kubernetes.io/service-name", ""))
