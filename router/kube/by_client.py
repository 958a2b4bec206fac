"""Configurations that the kubernetes client reads: all that are not plain (``plain``), and those with a fault, which it finds words for.

Importing this imports the client, which takes its time: it is done on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import urllib3
import yaml
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import ConfigException, incluster_config, kube_config

from router.errors import SettingsError
from router.kube.access import Access, Unread, checked

# What the client raises for a kubeconfig that is not one: it checks little, and then stumbles over what it took for granted.
_BAD_CONFIG = (
    ConfigException,
    yaml.YAMLError,
    OSError,
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    RecursionError,
)

# The client has no annotations here.
_InClusterConfigLoader: Any = incluster_config.InClusterConfigLoader
_KubeConfigLoader: Any = kube_config.KubeConfigLoader
_KubeConfigMerger: Any = kube_config.KubeConfigMerger

_TOKEN = "BearerToken"  # noqa: S105 - its name, not itself
"""Where the client keeps the token, since 36.0.1; before, it was ``authorization``."""


@dataclass(frozen=True, slots=True)
class ClientAccess:
    """An ``Access`` by the client.

    Raises:
        SettingsError: the client keeps the token in a place that we do not know: no request would say who we are.
    """

    configuration: Configuration

    def __post_init__(self) -> None:
        api_key = self.configuration.api_key
        if api_key and _TOKEN not in api_key:
            raise SettingsError(
                f"the kubernetes client {kubernetes.__version__} keeps the token as {', '.join(sorted(api_key))}, "
                "from where it is not sent; install kubernetes 37 or newer"
            )

    @property
    def host(self) -> str:
        """URL of the API server."""
        return str(self.configuration.host)

    @property
    def verify_ssl(self) -> bool:
        """Whether the server's certificate is verified."""
        return self.configuration.verify_ssl is not False

    @property
    def ssl_ca_cert(self) -> str | None:
        """File of those who may have signed it."""
        return self.configuration.ssl_ca_cert

    @property
    def cert_file(self) -> str | None:
        """Our certificate."""
        return self.configuration.cert_file

    @property
    def key_file(self) -> str | None:
        """Its key."""
        return self.configuration.key_file

    def token(self) -> str | None:
        """Give the newest token; the client runs a credential plugin when what it gave has expired.

        Raises:
            Unread: it cannot be read now.
        """
        try:
            return self.configuration.get_api_key_with_prefix(_TOKEN)
        except _BAD_CONFIG as error:
            raise Unread(str(error)) from error

    def pools(self, idle: int) -> urllib3.PoolManager:
        """Make pools that keep so many idle connections."""
        self.configuration.connection_pool_maxsize = idle
        return RESTClientObject(self.configuration).pool_manager

    def for_client(self) -> object:
        """Give the client's Configuration."""
        return self.configuration


def configuration_of(access: Access, server_name: str | None) -> Configuration:
    """Give the client's Configuration of what it has not read."""
    configuration = Configuration()
    configuration.host = access.host
    configuration.verify_ssl = access.verify_ssl
    configuration.ssl_ca_cert = access.ssl_ca_cert
    configuration.cert_file = access.cert_file
    configuration.key_file = access.key_file
    configuration.tls_server_name = server_name
    token = access.token()
    if token is not None:
        configuration.api_key[_TOKEN] = token
    return configuration


def of_service_account(folder: Path, environ: Mapping[str, str]) -> ClientAccess:
    """Read a pod's service account.

    Raises:
        SettingsError: it cannot be used.
    """
    configuration = Configuration()
    account = _InClusterConfigLoader(str(folder / "token"), str(folder / "ca.crt"), environ=environ)
    try:
        account.load_and_set(configuration)
    except _BAD_CONFIG as error:
        raise SettingsError(f"the service account in {folder} cannot be used: {error}") from error
    return checked(ClientAccess(configuration), f"the service account in {folder}")


def of_kubeconfig(files: list[Path], paths: str, context: str | None) -> ClientAccess:
    """Read kubeconfig files.

    Args:
        files: at least one of them exists.
        paths: the same as whoever gave them wrote it.
        context: which of theirs; None is the current one.

    Raises:
        SettingsError: they cannot be used.
    """
    configuration = Configuration()
    try:
        merged = _KubeConfigMerger(":".join(str(path) for path in files)).config
        if merged is None:
            raise SettingsError(f"kubeconfig {paths} is empty")
        if context is None and not merged.safe_get("current-context"):
            raise SettingsError(f"kubeconfig {paths} has no current-context; name one by --context")
        names = [entry["name"] for entry in merged.safe_get("contexts") or []]
        name = context or merged["current-context"]
        if name not in names:
            raise SettingsError(f"kubeconfig {paths} has no context {name!r}; it has {', '.join(names) or 'none'}")
        _KubeConfigLoader(config_dict=merged, active_context=name, config_base_path=None).load_and_set(configuration)
        entry = merged["contexts"].get_with_name(name)["context"].safe_get("user")
        user = merged["users"].get_with_name(entry, safe=True) if entry and merged.safe_get("users") else None
        plugin = user["user"].safe_get("exec") if user is not None and user.safe_get("user") else None
    except _BAD_CONFIG as error:
        problem = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | AttributeError) else str(error)
        raise SettingsError(f"kubeconfig {paths} cannot be used: {' '.join(problem.split())}") from error
    if plugin is not None and not configuration.api_key and not configuration.cert_file:
        # The client logs why and goes on without credentials.
        command = plugin.get("command") if isinstance(plugin, dict) else None
        raise SettingsError(f"kubeconfig {paths}: the credential plugin {command} of user {entry} gave no credentials")
    return checked(ClientAccess(configuration), f"kubeconfig {paths}")
