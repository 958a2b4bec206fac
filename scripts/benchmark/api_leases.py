"""The Leases of the benchmark's API server: another replica's, or to be had."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

_LEASE_S = 15
_OK, _NOT_FOUND = 200, 404


class Leases:
    """Answers about Leases; any thread may ask.

    Args:
        are_free: whether whoever asks may have one; if not, all are another replica's, which renews them.
    """

    def __init__(self, *, are_free: bool) -> None:
        self._are_free = are_free
        self._lock = threading.Lock()
        self._written: dict[str, dict[str, Any]] = {}
        self._version = 0

    def get(self, name: str) -> tuple[int, bytes]:
        """Give status and body of the answer to a GET."""
        if not self._are_free:
            return _OK, _of_another(name)
        with self._lock:
            found = self._written.get(name)
        return (
            (_OK, json.dumps(found).encode()) if found is not None else (_NOT_FOUND, b'{"kind":"Status","code":404}\n')
        )

    def write(self, lease: dict[str, Any], status: int) -> tuple[int, bytes]:
        """Take what is written; give status and body of the answer."""
        with self._lock:
            self._version += 1
            lease["metadata"]["resourceVersion"] = str(self._version)
            self._written[lease["metadata"]["name"]] = lease
            return status, json.dumps(lease).encode()


def _of_another(name: str) -> bytes:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "another", "leaseDurationSeconds": _LEASE_S, "acquireTime": now, "renewTime": now}
    return json.dumps({"metadata": {"name": name, "resourceVersion": "1"}, "spec": spec}).encode()
