"""One Lease as an API server keeps it, in memory: for candidates whose requests a test carries out when it likes."""

from __future__ import annotations

import json
from typing import Any

from router.election.lease import Request
from router.errors import ApiConflict, ApiError, ApiNotFound


class LeaseServer:
    """Keeps at most one Lease; refuses what a real server refuses of a write."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self._version = 0

    @property
    def spec(self) -> dict[str, Any]:
        """The Lease's spec."""
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec

    def carry_out(self, request: Request) -> bytes | ApiError:
        """Do what is asked; give the Lease, or why not."""
        if request.method == "GET":
            return json.dumps(self.lease).encode() if self.lease is not None else ApiNotFound("no lease", 404)
        new = json.loads(request.body)
        if request.method == "POST":
            if self.lease is not None:
                return ApiConflict("there is one", 409)
        elif self.lease is None:
            return ApiNotFound("no lease", 404)
        elif new["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            return ApiConflict("changed meanwhile", 409)
        return self.put(new)

    def put(self, lease: dict[str, Any]) -> bytes:
        """Write it, whoever held it before."""
        self._version += 1
        self.lease = {**lease, "metadata": {**lease["metadata"], "resourceVersion": str(self._version)}}
        return json.dumps(self.lease).encode()
