"""How TLS ends at a port, and begins anew towards servers, as frozen values of the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


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


StartTls = Literal["postgres"]
CLIENTS_OPTION, REVOKED_OPTION = "--mutual-tls-auth-ca", "--mutual-tls-auth-crl"
"""Where the router's own authorities for clients, and what they revoked, are from."""
TLS_VERSIONS = ("TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
"""As HAProxy writes them, the oldest first."""


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Which certificates clients have to show, or may."""

    authorities: str
    """PEM of those that may have signed them; without empty lines."""
    required: bool = True
    """False lets those in, too, who show none; one that is not good is refused in any case."""
    revoked: str = ""
    """PEM of lists of revoked certificates; empty is none, and nothing is taken for revoked."""
    subjects: str = ""
    """A regular expression of the subjects that are let in, as OpenSSL writes them on one line; empty is any. Who shows none is not."""
    until_s: int = 0
    """When the first of the authorities expires, seconds since the epoch."""
    revoked_until_s: int = 0
    """When the first of the lists is out of date, from when on no certificate is taken; 0 is never."""
    tells_apart: bool = False
    """Whether who shows none is led on by another backend than who does, as their servers are told who the client is."""


@dataclass(frozen=True, slots=True)
class PortTls:
    """How a port ends TLS."""

    certificate: Certificate
    min_version: str = ""
    """The oldest version that it takes, of ``TLS_VERSIONS``; empty is the router's."""
    alpn: tuple[str, ...] = ()
    """Protocols that it offers to clients which name some; none is not to speak of it."""
    clients: ClientTls | None = None
    """None asks clients for no certificate."""
    starttls: StartTls | None = None
    """By whose words clients may ask to begin TLS; None is that they begin with it. Others may begin with it in any case."""


_ECDHE = (
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
)  # fmt: skip
_INTERMEDIATE = (*_ECDHE, "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384")
_OLD = (
    *_INTERMEDIATE, "DHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
    "DHE-RSA-AES128-SHA256", "DHE-RSA-AES256-SHA256", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA256", "AES256-SHA256",
    "AES128-SHA", "AES256-SHA", "@SECLEVEL=0",
)  # fmt: skip
PROFILES: Mapping[str, tuple[str, str]] = MappingProxyType({
    "modern": ("TLSv1.3", ":".join(_ECDHE)),
    "intermediate": ("TLSv1.2", ":".join(_INTERMEDIATE)),
    "old": ("TLSv1.0", ":".join(_OLD)),
})  # fmt: skip
"""The oldest version and the ciphers up to TLS 1.2 of each profile: those of Mozilla, as OpenShift has them (openshift/api, TLSProfiles). OpenSSL 3
takes TLS 1.0 and 1.1 only at its lowest level of security."""
CIPHERSUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What holds for all ports that end TLS."""

    min_version: str = "TLSv1.2"
    ciphers: str = PROFILES["intermediate"][1]
    """Up to TLS 1.2, as OpenSSL names them."""
    ciphersuites: str = CIPHERSUITES
    """Of TLS 1.3."""
    curves: str = ""
    """Empty is OpenSSL's own choice."""

    def words(self, tls: PortTls | None = None) -> str:
        """Give what the ``bind`` line of a port has behind its certificate, with a blank before it."""
        version = max(self.min_version, tls.min_version if tls is not None else "")
        words = ["", "ssl-min-ver", version, "ciphers", self.ciphers, "ciphersuites", self.ciphersuites]
        words += ["curves", self.curves] if self.curves else []
        words += ["alpn", ",".join(tls.alpn)] if tls is not None and tls.alpn else []
        return " ".join(words)

    def own_words(self, tls: PortTls, more: Iterable[str] = ()) -> str:
        """Give what a line of a list of certificates has in brackets, with a blank before it; what the port has is left out."""
        words = [*more, *(["ssl-min-ver", tls.min_version] if tls.min_version > self.min_version else [])]
        words += ["alpn", ",".join(tls.alpn)] if tls.alpn else []
        return f" [{' '.join(words)}]" if words else ""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How TLS begins anew towards the servers of a backend, whose certificates are always verified."""

    authorities: str
    """PEM of those that may have signed them."""
    name: str = ""
    """Told to the servers (SNI), and what their certificates have to be for; empty tells none."""
    by_service: bool = False
    """Whether the certificate of each server has to be for its Service, as its ``verify_host`` says."""
    alpn: tuple[str, ...] = ()
    """Protocols that are named to the servers; none is not to speak of it."""
