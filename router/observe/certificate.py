"""The certificate of the metrics, as it is in its files now: a cluster renews it there."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import structlog

from router.errors import SettingsError

log = structlog.get_logger()

_State = tuple[tuple[int, int, int], ...]


class CertificateFiles:
    """A server's TLS context, made anew when a file is another than before; from any thread.

    Args:
        certificate: PEM, the server's first and then those between it and the authority.
        key: PEM, without a password.

    Raises:
        SettingsError: they cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._lock = threading.Lock()
        try:
            self._state = self._look()
            self._context = self._load()
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"the certificate {certificate} with the key {key} cannot be used: {_reason(error)}"
            ) from error

    def context(self) -> ssl.SSLContext:
        """Give the context for the next connection; one whose files were spoilt meanwhile is the one before."""
        with self._lock:
            try:
                state = self._look()
                if state != self._state:
                    # Files that do not go together are looked at again when one of them changes.
                    self._state = state
                    self._context = self._load()
                    log.info("certificate of the metrics read again", certificate=str(self._files[0]))
            except (OSError, ssl.SSLError) as error:
                log.error("new certificate of the metrics not used", problem=_reason(error))
            return self._context

    def _look(self) -> _State:
        found = (file.stat() for file in self._files)
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A password would be asked for on the terminal.
        context.load_cert_chain(*self._files, password=lambda: "")
        return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
