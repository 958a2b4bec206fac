"""An administrator's client for tests: plain objects over the official client's authentication and transport.

Works with any kubeconfig, and so with the API server of tests and with real ones alike.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kubernetes import client, config

from tests.support.kube.resources import RESOURCES

Object = dict[str, Any]

_TIMEOUT_S = 30.0
_PLACES = {
    **{known.kind: (known.prefix, known.plural, known.namespaced) for known in reversed(RESOURCES)},
    "CustomResourceDefinition": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", False),
}


class Refused(Exception):
    """The server answered something else than success; ``body`` is its Status object, or its text."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status}: {body}")


class KubeClient:
    """Asks one API server, as the kubeconfig says; to be closed."""

    def __init__(self, kubeconfig: Path, context: str | None = None) -> None:
        self._api = config.new_client_from_config(str(kubeconfig), context)  # type: ignore[no-untyped-call]
        self.configuration: client.Configuration = self._api.configuration

    def close(self) -> None:
        """Close the connections."""
        self._api.rest_client.pool_manager.clear()
        self._api.close()

    def ask(
        self, method: str, path: str, body: object = None, content_type: str = "application/json", **query: str
    ) -> Object:
        """Ask, and give the decoded answer.

        Raises:
            Refused: the status is none of success.
        """
        headers = {"Accept": "application/json", "Content-Type": content_type}
        settings: Any = self.configuration.auth_settings()
        headers |= {setting["key"]: setting["value"] for setting in settings.values()}
        url = f"{self.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        encoded = None if body is None else json.dumps(body).encode()
        pool = self._api.rest_client.pool_manager
        answer = pool.request(method, url, body=encoded, headers=headers, timeout=_TIMEOUT_S, retries=False)
        if answer.status >= 300:
            raise Refused(answer.status, _decoded(answer.data))
        decoded: Object = json.loads(answer.data)
        return decoded

    def create(self, obj: Object) -> Object:
        """Create an object in its namespace."""
        return self.ask("POST", path_of(obj["kind"], obj["metadata"].get("namespace", "")), obj)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Give an object; None where there is none."""
        try:
            return self.ask("GET", path_of(kind, namespace, name))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str) -> list[Object]:
        """Give the objects of a namespace."""
        items: list[Object] = self.ask("GET", path_of(kind, namespace))["items"]
        return items

    def patch(self, kind: str, namespace: str, name: str, patch: Object, subresource: str = "") -> Object:
        """Apply a merge patch."""
        path = path_of(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return self.ask("PATCH", path, patch, "application/merge-patch+json")

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object, if it is there."""
        try:
            self.ask("DELETE", path_of(kind, namespace, name))
        except Refused as error:
            if error.status != 404:
                raise


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Give the path of an object, or of all of a namespace."""
    prefix, plural, namespaced = _PLACES[kind]
    path = f"{prefix}/namespaces/{namespace}/{plural}" if namespaced else f"{prefix}/{plural}"
    return f"{path}/{name}" if name else path


def _decoded(body: Any) -> Any:
    try:
        return json.loads(body)
    except (TypeError, ValueError):
        return body
