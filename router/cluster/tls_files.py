"""What Routes get that name no certificate of their own, or no authorities for their pods: files of the router's, followed."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog
from msgspec.structs import replace

from router.admission.certificates import judge_pair, read_authorities
from router.admission.client_authorities import judge_authorities
from router.admission.pem import MAX_PEM
from router.errors import SettingsError
from router.model.tls import CLIENTS_OPTION, REVOKED_OPTION
from router.objects.credential import Credential
from router.objects.store import Store
from router.supervisor import SUPERVISOR

log = structlog.get_logger()

_LOOK_EVERY_S = 5.0
_STOPS_WITHIN_S = 5.0


class TlsFiles:
    """Reads the files; from one thread.

    Args:
        certificate: PEM of a certificate, its chain and its key, or a folder with tls.crt and tls.key; None is none.
        authorities: PEM of those that sign the certificates of pods; None is none.
        clients: PEM of those that sign the certificates of clients; None is none.
        revoked: PEM of lists of those that were revoked; None is none.
    """

    def __init__(
        self,
        certificate: Path | None,
        authorities: Path | None,
        clients: Path | None = None,
        revoked: Path | None = None,
    ) -> None:
        self._certificate = certificate
        self._authorities = authorities
        self._clients = clients
        self._revoked = revoked
        self._problems: dict[str, str] = {}
        self.last = Credential()
        """What was found, good parts alone."""

    def __bool__(self) -> bool:
        return any(path is not None for path in (self._certificate, self._authorities, self._clients))

    def first(self) -> Credential:
        """Read them for the first time.

        Raises:
            SettingsError: one of them cannot be used.
        """
        found = self.look()
        for option, problem in self._problems.items():
            raise SettingsError(f"{option}: {problem}")
        return found

    def look(self) -> Credential:
        """Give what is in them now; of one that is broken, or gone, what was in it before."""
        former = self.last
        if self._certificate is not None:
            try:
                certificate, key = _read_pair(self._certificate)
                self._tell("--default-certificate", "", certificate, key)
            except OSError as error:
                self._tell("--default-certificate", f"{error.filename}: {error.strerror}")
        if self._authorities is not None:
            try:
                self._tell("--default-destination-ca", "", authorities=_text(self._authorities))
            except OSError as error:
                self._tell("--default-destination-ca", f"{error.filename}: {error.strerror}")
        if self._clients is not None:
            self._look_at_clients(self._clients)
        if self.last != former and former != Credential():
            log.info("tls files read again")
        return self.last

    def _look_at_clients(self, path: Path) -> None:
        """Take both files of those who sign certificates of clients, or neither."""
        try:
            clients, revoked = _text(path), _text(self._revoked) if self._revoked is not None else ""
        except OSError as error:
            option = CLIENTS_OPTION if error.filename == str(path) else REVOKED_OPTION
            self._note(CLIENTS_OPTION, f"{option}: {error.filename}: {error.strerror}")
            return
        judged = judge_authorities(
            CLIENTS_OPTION, clients, REVOKED_OPTION if self._revoked is not None else "", revoked
        )
        self._note(CLIENTS_OPTION, judged.removeprefix(f"{CLIENTS_OPTION}: ") if isinstance(judged, str) else "")
        if not isinstance(judged, str):
            self.last = replace(self.last, clients=clients, revoked=revoked)

    def _tell(self, option: str, problem: str, certificate: str = "", key_pem: str = "", authorities: str = "") -> None:
        """Take what was read of one option, if it is good; else say once what is wrong."""
        if not problem and certificate:
            judged = judge_pair(option, certificate, key_pem, "")
            problem = judged if isinstance(judged, str) else ""
        elif not problem:
            problem = read_authorities(authorities)[1]
        self._note(option, problem)
        if not problem:
            self.last = (
                replace(self.last, certificate=certificate, key_pem=key_pem)
                if certificate
                else replace(self.last, authorities=authorities)
            )

    def _note(self, option: str, problem: str) -> None:
        """Take note of what is wrong with an option, or that nothing is; say so once."""
        if not problem:
            self._problems.pop(option, None)
        elif self._problems.get(option) != problem:
            self._problems[option] = problem
            log.error("tls file not used", option=option, problem=problem)


class TlsFilesInput:
    """Keeps what is in the files in the store, on a thread of its own: a cluster renews them there.

    Args:
        files: the files.
        store: is told.

    Raises:
        SettingsError: one of them cannot be used.
    """

    def __init__(self, files: TlsFiles, store: Store) -> None:
        self._files = files
        self._store = store
        self._stopping = threading.Event()
        self._thread = SUPERVISOR.own("tls files", self._run, ask_to_end=self._stopping.set)
        # Before anything is decided.
        store.put(files.first())

    def start(self) -> None:
        """Begin to look again."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._thread.stop(_STOPS_WITHIN_S)

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            former = self._files.last
            found = self._files.look()
            if found != former:
                self._store.put(found)


def _read_pair(path: Path) -> tuple[str, str]:
    if path.is_dir():
        return _text(path / "tls.crt"), _text(path / "tls.key")
    return _text(path), ""


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_PEM + 1).decode(errors="replace")
