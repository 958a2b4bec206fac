"""Configurations for which the kubernetes client is not needed: a pod's service account, and a kubeconfig that has but plain fields.

To import the client takes as long as to import all the rest of the router, and a start waits for it. What it makes of these is known, and a
test compares. All else is left to it: several files, plugins, certificates inside the file, proxies; and all that is wrong, so that its words
for that are the same as ever. Here that is None.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from router.kube.access import Unread

_TOKEN_GOOD_S = 60.0
"""The kubelet puts a new token in the place of one long before that expires; the client reads it each minute, too."""
_CLUSTER = frozenset({"server", "certificate-authority", "insecure-skip-tls-verify", "tls-server-name", "extensions"})
_USER = frozenset({"token", "client-certificate", "client-key"})


@dataclass(slots=True, kw_only=True)
class PlainAccess:
    """An ``Access`` without the client."""

    host: str
    verify_ssl: bool = True
    ssl_ca_cert: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    """The name that the server's certificate must have, if not the host's."""
    said: str | None = None
    """The header's text, as it was read last."""
    token_file: Path | None = None
    """Where it is read from again."""
    read_s: float = 0.0
    """When it was read last (``time.monotonic``)."""

    def token(self) -> str | None:
        """Give the newest token; that of a file is read again after a minute.

        Raises:
            Unread: the file cannot be read now.
        """
        if self.token_file is not None and time.monotonic() - self.read_s >= _TOKEN_GOOD_S:
            try:
                text = self.token_file.read_text()
            except (OSError, ValueError) as error:
                raise Unread(str(error)) from error
            if not text:
                raise Unread(f"{self.token_file} is empty")
            self.said, self.read_s = _bearer(text), time.monotonic()
        return self.said

    def pools(self, idle: int) -> urllib3.PoolManager:
        """Make pools that keep so many idle connections."""
        named: dict[str, Any] = {"server_hostname": self.server_name} if self.server_name else {}
        return urllib3.PoolManager(
            maxsize=idle,
            cert_reqs=ssl.CERT_REQUIRED if self.verify_ssl else ssl.CERT_NONE,
            ca_certs=self.ssl_ca_cert,
            cert_file=self.cert_file,
            key_file=self.key_file,
            **named,
        )

    def for_client(self) -> object:
        """Give the same as the kubernetes client's Configuration."""
        from router.kube.by_client import configuration_of  # noqa: PLC0415 - imports the client

        return configuration_of(self, self.server_name)


def of_service_account(folder: Path, environ: Mapping[str, str]) -> PlainAccess | None:
    """Read a pod's service account; None where only the client can, or knows what is wrong."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    token_file, ca_file = folder / "token", folder / "ca.crt"
    if not host or not port or _has_proxy(environ):
        return None
    try:
        text = token_file.read_text()
        if not text or not ca_file.read_text():
            return None
    except (OSError, ValueError):
        return None
    url = f"https://[{host}]:{port}" if {":", "%"} & set(host) else f"https://{host}:{port}"
    return PlainAccess(
        host=url, ssl_ca_cert=str(ca_file), said=_bearer(text), token_file=token_file, read_s=time.monotonic()
    )


def of_kubeconfig(files: list[Path], context: str | None, environ: Mapping[str, str]) -> PlainAccess | None:
    """Read one kubeconfig; None where only the client can, or knows what is wrong."""
    if len(files) != 1 or _has_proxy(environ):
        return None
    import yaml  # noqa: PLC0415 - in a pod nothing is YAML

    try:
        return _plain(files[0].absolute().parent, yaml.safe_load(files[0].read_text()), context)
    except (_NotPlainError, OSError, ValueError, RecursionError, yaml.YAMLError):
        return None


class _NotPlainError(Exception):
    """There is something that is not known here, or wrong."""


def _plain(folder: Path, config: object, context: str | None) -> PlainAccess:
    chosen = _named(config, "contexts", context or _text(config, "current-context"), "context")
    cluster = _named(config, "clusters", _text(chosen, "cluster"), "cluster")
    user = _named(config, "users", _text(chosen, "user"), "user") if "user" in chosen else {}
    if not cluster.keys() <= _CLUSTER or not user.keys() <= _USER:
        raise _NotPlainError
    insecure = cluster.get("insecure-skip-tls-verify", False)
    if not isinstance(insecure, bool):
        raise _NotPlainError
    access = PlainAccess(host=_text(cluster, "server").rstrip("/"), verify_ssl=not insecure)
    if "tls-server-name" in cluster:
        access.server_name = _text(cluster, "tls-server-name")
    if "token" in user:
        access.said = _bearer(_text(user, "token"), "Bearer")
    if access.host.startswith("https"):
        access.ssl_ca_cert = _file(folder, cluster, "certificate-authority")
        access.cert_file = _file(folder, user, "client-certificate")
        access.key_file = _file(folder, user, "client-key")
    return access


def _named(config: object, kind: str, name: str, inner: str) -> dict[str, Any]:
    """Give what a list of named things has of this name, if there is just one."""
    entries = config.get(kind) if isinstance(config, dict) else None
    if not isinstance(entries, list) or not all(isinstance(each, dict) and "name" in each for each in entries):
        raise _NotPlainError
    found = [each.get(inner) for each in entries if each["name"] == name]
    if len(found) != 1 or not isinstance(found[0], dict):
        raise _NotPlainError
    return found[0]


def _text(mapping: object, key: str) -> str:
    value = mapping.get(key) if isinstance(mapping, dict) else None
    if not isinstance(value, str) or not value:
        raise _NotPlainError
    return value


def _file(base: Path, mapping: Mapping[str, Any], key: str) -> str | None:
    if key not in mapping:
        return None
    # As the client does it, which takes ".." for what it says and not for where a link leads.
    path = os.path.normpath(os.path.join(base, _text(mapping, key)))  # noqa: PTH118 - the line above
    if not os.path.isfile(path):  # noqa: PTH113 - likewise
        raise _NotPlainError
    return path


def _bearer(token: str, scheme: str = "bearer") -> str:
    return f"{scheme} {token}".strip()


def _has_proxy(environ: Mapping[str, str]) -> bool:
    """Say whether the environment names a proxy, in which the client looks for one, whatever environment is given here."""
    return any(
        name.lower().endswith("_proxy") and value for each in (environ, os.environ) for name, value in each.items()
    )
