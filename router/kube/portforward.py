"""Connections to a port of a pod, through the API server, as ``oc port-forward`` makes them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import websocket
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward

from router.errors import ApiError, ApiUnreachable
from router.kube.configuration import Credentials
from router.kube.problems import error_of
from router.supervisor import SUPERVISOR


@dataclass(frozen=True, slots=True)
class Forward:
    """One connection to a pod."""

    sock: Any
    """Behaves as a connected socket."""
    _forward: Any
    _port: int

    @property
    def problem(self) -> str:
        """What the kubelet said of the connection; empty while all is well."""
        return " ".join(str(self._forward.error(self._port) or "").split())


@contextlib.contextmanager
def forwarded(credentials: Credentials, namespace: str, pod: str, port: int, timeout_s: float) -> Iterator[Forward]:
    """Connect to a port of a pod, on its own loopback address; closed when left.

    Args:
        credentials: who asks, and which API server.
        namespace: of the pod.
        pod: its name.
        port: that something in the pod listens on.
        timeout_s: seconds for each step: to connect, and to wait for data.

    Raises:
        ApiError: the API server refuses it, or cannot be reached.
    """
    forward = _connected(credentials, namespace, pod, port, timeout_s)
    try:
        sock = forward.socket(port)
        sock.settimeout(timeout_s)
        yield Forward(sock, forward, port)
    finally:
        forward.close()


def _connected(credentials: Credentials, namespace: str, pod: str, port: int, timeout_s: float) -> Any:  # noqa: ANN401 - the client has no annotations here
    """Give the client's PortForward.

    The client opens the WebSocket without a deadline and lets nobody set one, so a thread of its own waits for it.
    """
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
    outcomes: queue.SimpleQueue[Any] = queue.SimpleQueue()
    given_up = threading.Event()

    def connect() -> None:
        with client.ApiClient(credentials.access.for_client()) as api_client:
            api = client.CoreV1Api(api_client)
            try:
                forward = portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
            except ApiException as error:
                outcomes.put(_own(error, path))
                return
        outcomes.put(forward)
        if given_up.is_set():
            forward.close()

    SUPERVISOR.own("port-forward", connect, ask_to_end=None, restart=None).start()
    try:
        outcome = outcomes.get(timeout=timeout_s)
    except queue.Empty:
        given_up.set()
        raise ApiUnreachable(f"GET {path}: no answer within the deadline") from None
    if isinstance(outcome, ApiError):
        raise outcome
    return outcome


def _own(error: ApiException, path: str) -> ApiError:
    """Give the client's exception our own name; what happened is in the one that it came from."""
    cause = error.__context__
    if isinstance(cause, websocket.WebSocketBadStatusException):
        body = cause.resp_body if isinstance(cause.resp_body, bytes) else str(cause.resp_body or "").encode()
        return error_of("GET", path, cause.status_code, body)
    return ApiUnreachable(f"GET {path}: {error.reason}")
