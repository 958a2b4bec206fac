"""The options about the Gateway API, by their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """Whether Gateways are served, and whose."""

    gateway_api: Literal["off", "auto", "on"]
    gateway_controller: str
    gateway_http: Literal["refuse", "accept"]

    @property
    def serves_gateways(self) -> bool:
        """Whether Gateways are served."""
        return self.gateway_api != "off"
