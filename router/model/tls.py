"""How TLS ends at a port, and begins anew towards servers, as frozen values of the model."""

from __future__ import annotations

from dataclasses import dataclass


class PrivateBytes(bytes):
    """Bytes with a private key in them. What they are stands in no log line, no error and no traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<private>"

    __str__ = __repr__


NOTHING_PRIVATE = PrivateBytes()


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a port that ends TLS shows to clients, and proves."""

    pem: PrivateBytes
    """The private key, the certificate and its chain, in this order; without empty lines, which HAProxy's commands would end at."""
    not_before_s: int
    """Seconds since the epoch, as ``not_after_s``."""
    not_after_s: int
    fingerprint: str = ""
    """SHA-256 of the certificate, in hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class PortTls:
    """How a port ends TLS."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How TLS begins anew towards the servers of a backend, whose certificates are always verified."""

    authorities: str
    """PEM of those that may have signed them."""
    name: str = ""
    """Told to the servers (SNI), and what their certificates have to be for; empty tells none."""
    by_service: bool = False
    """Whether the certificate of each server has to be for its Service, as its ``verify_host`` says."""
