"""Whether a pod is of this same router, and on this same node: the API server's word for what another generation says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import structlog

from router.errors import ApiError
from router.kube.api import Api
from router.shapes import reader

log = structlog.get_logger()

_ASK_AGAIN_S = 5.0


class _Metadata(msgspec.Struct, frozen=True):
    name: str


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""
    host_network: bool = False
    service_account_name: str = ""


class Pod(msgspec.Struct, frozen=True):
    """The fields of a pod that are read."""

    metadata: _Metadata
    spec: _Spec = _Spec()


class _PodList(msgspec.Struct, frozen=True):
    items: tuple[Pod, ...] = ()


_read = reader(_PodList)


class Siblings:
    """Asks, and remembers; used by one thread.

    Args:
        api: whose calls have short deadlines: the caller waits.
        namespace: of the router's pods.
        own: the name of our own pod.
        selector: the labels of the router's pods, as a query of a list takes them; empty for any.
        now_s: the time (``time.monotonic``).
    """

    def __init__(
        self, api: Api, namespace: str, own: str, selector: str = "", now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._own = own
        self._selector = selector
        self._now_s = now_s
        self._ours: set[str] = set()
        self._not_before_s: dict[str, float] = {}

    def is_one(self, name: str) -> bool:
        """Say whether the pod of this name is of our own router and on our node; False, too, where that cannot be found out."""
        if name in self._ours:
            return True
        if self._now_s() < self._not_before_s.get(name, float("-inf")):
            return False
        self._not_before_s[name] = self._now_s() + _ASK_AGAIN_S
        try:
            pods = {pod.metadata.name: pod for pod in self._pods()}
        except ApiError as error:
            log.warning("pod of another generation not looked at", pod=name, problem=str(error))
            return False
        except msgspec.DecodeError as error:
            log.warning("pod of another generation not read", pod=name, problem=str(error))
            return False
        own, other = pods.get(self._own), pods.get(name)
        if own is None or other is None or not are_of_one_router(own, other):
            return False
        self._ours.add(name)
        return True

    def _pods(self) -> tuple[Pod, ...]:
        query = {"labelSelector": self._selector} if self._selector else {}
        return _read(self._api.get(f"/api/v1/namespaces/{self._namespace}/pods", query)).items


def are_of_one_router(own: Pod, other: Pod) -> bool:
    """Say whether two pods that our selector finds share our node's network, and have the ServiceAccount of the router.

    Nobody gives a pod that account without rights in the router's namespace.
    """
    return (
        own.spec.node_name == other.spec.node_name != ""
        and own.spec.host_network
        and other.spec.host_network
        and own.spec.service_account_name == other.spec.service_account_name
    )
