"""Which API server, and who we are to it: a pod's service account or a kubeconfig."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import structlog

from router.errors import ApiUnauthorized, SettingsError
from router.kube import plain
from router.kube.access import Access, Unread, checked
from router.settings import KubeSettings

log = structlog.get_logger()

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where every pod has its service account's token and the API server's CA."""
_DEFAULT_KUBECONFIG = "~/.kube/config"
_REFRESH_APART_S = 1.0
"""Threads that meet the same 401 read the credentials once."""

Load = Callable[[], Access]
"""Reads the configuration from where it stands; raises SettingsError."""


class Credentials:
    """Who we are to the API server; shared by connections, any thread.

    Raises:
        SettingsError: as ``load`` does.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._access = load()
        self._generation = 1
        self._refreshed_s = float("-inf")
        self._headers: dict[str, str] = {}

    @property
    def access(self) -> Access:
        """The configuration as it was read last."""
        return self._access

    @property
    def current(self) -> tuple[int, Access]:
        """The configuration, and how often one was read."""
        return self._generation, self._access

    def headers(self, deadline_s: float) -> dict[str, str]:
        """Give the header that says who we are, of the newest token that there is.

        A service account's token is read each minute, and a credential plugin run when what it gave has expired.
        Where that fails, the last one is tried on: the server says when it is not good any more.

        Raises:
            ApiUnauthorized: another thread is waiting for a credential plugin, for longer than the deadline.
        """
        if not self._lock.acquire(timeout=deadline_s):
            raise ApiUnauthorized(f"the credentials could not be read within {deadline_s:g} s")
        try:
            token = self._access.token()
        except Unread as error:
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
                self._access = self._load()
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
    return lambda: _of_kubeconfig(paths, settings.context, environ)


def _of_service_account(folder: Path, environ: Mapping[str, str]) -> Access:
    access = plain.of_service_account(folder, environ)
    if access is None:
        found: Access = _by_client().of_service_account(folder, environ)
        return found
    return checked(access, f"the service account in {folder}")


def _of_kubeconfig(paths: str, context: str | None, environ: Mapping[str, str]) -> Access:
    """Read kubeconfig files; ``paths`` has colons between them."""
    files = [Path(path).expanduser() for path in paths.split(":") if path]
    if not any(path.exists() for path in files):
        raise SettingsError(
            f"no kubeconfig at {paths}; give one by --kubeconfig or KUBECONFIG (or --manifests to route without a cluster)"
        )
    access = plain.of_kubeconfig(files, context, environ)
    if access is None:
        found: Access = _by_client().of_kubeconfig(files, paths, context)
        return found
    return checked(access, f"kubeconfig {paths}")


def _by_client() -> ModuleType:
    # On first use: it imports the kubernetes client.
    from router.kube import by_client  # noqa: PLC0415 - the line above

    return by_client
