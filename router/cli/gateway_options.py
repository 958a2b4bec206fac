"""The options about the Gateway API, by their names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from router.settings import AdmissionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """Whether Gateways are served, and whose."""

    gateway_api: Literal["off", "auto", "on"]
    gateway_controller: str
    gateway_http: Literal["refuse", "accept"]
    gateway_certificates: bool

    @property
    def serves_gateways(self) -> bool:
        """Whether Gateways are served."""
        return self.gateway_api != "off"

    def with_gateways(self, settings: AdmissionSettings) -> AdmissionSettings:
        """Give what admission goes by, with what these options say."""
        return replace(
            settings,
            gateway_controller=self.gateway_controller if self.serves_gateways else "",
            gateway_http=self.gateway_http == "accept",
            gateway_certificates=self.gateway_certificates,
        )
