"""Which API server, and who we are to it: a pod's service account or a kubeconfig, read by the kubernetes client."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes
import structlog
import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException, incluster_config, kube_config

from router.errors import ApiUnauthorized, SettingsError
from router.settings import KubeSettings

log = structlog.get_logger()

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where every pod has its service account's token and the API server's CA."""
_DEFAULT_KUBECONFIG = "~/.kube/config"
_REFRESH_APART_S = 1.0
"""Threads that meet the same 401 read the credentials once."""
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

Load = Callable[[], Configuration]
"""Reads the configuration from where it stands; raises SettingsError."""


class Credentials:
    """Who we are to the API server; shared by connections, any thread.

    Raises:
        SettingsError: as ``load`` does, and where the client keeps the token in a place that we do not know: no request would
            say who we are.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._configuration = _with_known_token(load())
        self._generation = 1
        self._refreshed_s = float("-inf")
        self._headers: dict[str, str] = {}

    @property
    def configuration(self) -> Configuration:
        """The configuration as it was read last."""
        return self._configuration

    @property
    def current(self) -> tuple[int, Configuration]:
        """The configuration, and how often one was read."""
        return self._generation, self._configuration

    def headers(self, deadline_s: float) -> dict[str, str]:
        """Give the header that says who we are, of the newest token that the client has.

        The client reads a service account's token each minute, and runs a credential plugin when what it gave has expired.
        Where that fails, the last one is tried on: the server says when it is not good any more.

        Raises:
            ApiUnauthorized: another thread is waiting for a credential plugin, for longer than the deadline.
        """
        if not self._lock.acquire(timeout=deadline_s):
            raise ApiUnauthorized(f"the credentials could not be read within {deadline_s:g} s")
        try:
            token = self._configuration.get_api_key_with_prefix(_TOKEN)
        except _BAD_CONFIG as error:
            log.warning("credentials not read", problem=str(error))
        else:
            self._headers = {"Authorization": token.strip()} if token else {}
        finally:
            self._lock.release()
        return self._headers

    def refresh(self) -> None:
        """Read everything again, certificates too; not so soon after the last time.

        Raises:
            ApiUnauthorized: it cannot be read.
        """
        with self._lock:
            if time.monotonic() - self._refreshed_s < _REFRESH_APART_S:
                return
            try:
                self._configuration = _with_known_token(self._load())
            except SettingsError as error:
                raise ApiUnauthorized(f"the credentials cannot be read again: {error}") from error
            self._generation += 1
            self._refreshed_s = time.monotonic()


def loader(settings: KubeSettings, environ: Mapping[str, str], service_account: Path) -> Load:
    """Choose where the configuration comes from: a pod's service account, or kubeconfig files."""
    in_pod = bool(environ.get("KUBERNETES_SERVICE_HOST"))
    if settings.kubeconfig is None and settings.context is None and in_pod:
        return lambda: _of_service_account(service_account, environ)
    given = str(settings.kubeconfig) if settings.kubeconfig is not None else environ.get("KUBECONFIG") or ""
    paths = given or _DEFAULT_KUBECONFIG
    return lambda: _of_kubeconfig(paths, settings.context)


def _of_service_account(folder: Path, environ: Mapping[str, str]) -> Configuration:
    configuration = Configuration()
    account = _InClusterConfigLoader(str(folder / "token"), str(folder / "ca.crt"), environ=environ)
    try:
        account.load_and_set(configuration)
    except _BAD_CONFIG as error:
        raise SettingsError(f"the service account in {folder} cannot be used: {error}") from error
    return _checked(configuration, f"the service account in {folder}")


def _of_kubeconfig(paths: str, context: str | None) -> Configuration:
    """Read kubeconfig files; ``paths`` has colons between them."""
    files = [Path(path).expanduser() for path in paths.split(":") if path]
    if not any(path.exists() for path in files):
        raise SettingsError(
            f"no kubeconfig at {paths}; give one by --kubeconfig or KUBECONFIG (or --manifests to route without a cluster)"
        )
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
    return _checked(configuration, f"kubeconfig {paths}")


def _with_known_token(configuration: Configuration) -> Configuration:
    if configuration.api_key and _TOKEN not in configuration.api_key:
        raise SettingsError(
            f"the kubernetes client {kubernetes.__version__} keeps the token as {', '.join(sorted(configuration.api_key))}, "
            "from where it is not sent; install kubernetes 37 or newer"
        )
    return configuration


def _checked(configuration: Configuration, source: str) -> Configuration:
    """Find out now what would fail at each connection."""
    url = urlsplit(configuration.host)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise SettingsError(f"{source}: the server {configuration.host!r} is no URL of http or https")
    for what, files in (
        ("CA", (configuration.ssl_ca_cert,)),
        ("client certificate", (configuration.cert_file, configuration.key_file)),
    ):
        if files[0] is None:
            continue
        context = ssl.create_default_context()
        try:
            if what == "CA":
                context.load_verify_locations(cafile=files[0])
            else:
                context.load_cert_chain(*files)
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(f"{source}: the {what} cannot be used: {error.strerror or error}") from error
    return configuration
