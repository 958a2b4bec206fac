"""Which API server, and who we are to it, as it was read: what connections are made of, whoever read it."""

from __future__ import annotations

import ssl
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import urllib3

from router.errors import SettingsError


class Access(Protocol):
    """One configuration. Frozen, but for what ``token`` remembers; that is called by one thread at a time."""

    @property
    def host(self) -> str:
        """URL of the API server."""

    @property
    def verify_ssl(self) -> bool:
        """Whether the server's certificate is verified."""

    @property
    def ssl_ca_cert(self) -> str | None:
        """File of those who may have signed it; None are those of the system."""

    @property
    def cert_file(self) -> str | None:
        """Our certificate."""

    @property
    def key_file(self) -> str | None:
        """Its key."""

    def token(self) -> str | None:
        """Give what the header says who we are, the newest there is; None without any.

        Raises:
            Unread: it cannot be read now.
        """

    def pools(self, idle: int) -> urllib3.PoolManager:
        """Make pools that keep so many idle connections."""

    def for_client(self) -> object:
        """Give the same as the kubernetes client's Configuration."""


class Unread(Exception):
    """What says who we are cannot be read; what was read last may still do."""


_Access = TypeVar("_Access", bound=Access)


def checked(access: _Access, source: str) -> _Access:
    """Find out now what would fail at each connection.

    Raises:
        SettingsError: it would.
    """
    url = urlsplit(access.host)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise SettingsError(f"{source}: the server {access.host!r} is no URL of http or https")
    # Not with the system's authorities, of which to read all takes longer than the rest.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        what = "CA"
        if access.ssl_ca_cert is not None:
            context.load_verify_locations(cafile=access.ssl_ca_cert)
        what = "client certificate"
        if access.cert_file is not None:
            context.load_cert_chain(access.cert_file, access.key_file)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"{source}: the {what} cannot be used: {error.strerror or error}") from error
    return access
