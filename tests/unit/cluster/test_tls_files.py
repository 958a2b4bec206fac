"""The router's own certificate and authorities: read at the start, followed, and never lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from router.cluster.tls_files import TlsFiles, TlsFilesInput
from router.errors import SettingsError
from router.objects.credential import DEFAULTS, Credential
from router.objects.store import Store
from tests.support.certificates import make
from tests.support.client_certificates import authority, revoke

_OLD, _NEW = make("*.apps.example.com"), make("*.apps.example.com")


def test_one_file_or_a_folder(tmp_path: Path) -> None:
    """Certificate and key in one file, or as a Secret is mounted."""
    (tmp_path / "whole.pem").write_text(_OLD.pem + _OLD.key)
    assert TlsFiles(tmp_path / "whole.pem", None).first() == Credential(certificate=_OLD.pem + _OLD.key)
    (tmp_path / "tls.crt").write_text(_OLD.pem)
    (tmp_path / "tls.key").write_text(_OLD.key)
    assert TlsFiles(tmp_path, None).first() == Credential(certificate=_OLD.pem, key_pem=_OLD.key)


@pytest.mark.parametrize("content", ["", "x", _OLD.pem, _OLD.pem + _NEW.key, "\0" * 200_000])
def test_what_cannot_be_used_at_the_start(tmp_path: Path, content: str) -> None:
    """The router says so and ends, rather than serve Routes without their certificate."""
    file = tmp_path / "whole.pem"
    file.write_text(content)
    with pytest.raises(SettingsError, match="--default-certificate: "):
        TlsFiles(file, None).first()
    with pytest.raises(SettingsError, match=r"--default-certificate: .*No such file"):
        TlsFiles(tmp_path / "absent", None).first()
    if content != _OLD.pem:
        with pytest.raises(SettingsError, match="--default-destination-ca: "):
            TlsFiles(None, file.with_name("absent")).first()


def test_what_is_spoilt_later_is_as_it_was(tmp_path: Path) -> None:
    """One that cannot be used any more is told once, and what was in it before counts; a good one counts at the next look."""
    whole, authorities = tmp_path / "whole.pem", tmp_path / "ca.pem"
    whole.write_text(_OLD.pem + _OLD.key)
    authorities.write_text(_OLD.pem)
    files = TlsFiles(whole, authorities)
    first = files.first()
    assert first.authorities == _OLD.pem
    with capture_logs() as logs:
        whole.write_text("spoilt")
        authorities.unlink()
        assert files.look() == files.look() == first
        whole.write_text(_NEW.pem + _NEW.key)
        assert files.look() == Credential(certificate=_NEW.pem + _NEW.key, authorities=_OLD.pem)
    assert [line["event"] for line in logs] == ["tls file not used", "tls file not used", "tls files read again"]
    assert _OLD.key.splitlines()[1] not in str(logs)


def test_it_is_known_before_anything_is_decided(tmp_path: Path) -> None:
    """The store has it from the beginning, also while the thread has not begun."""
    (tmp_path / "whole.pem").write_text(_OLD.pem + _OLD.key)
    store = Store()
    TlsFilesInput(TlsFiles(tmp_path / "whole.pem", None), store)
    changes, _ = store.take()
    assert changes.credentials == {DEFAULTS}
    assert not TlsFiles(None, None)


_CA, _OTHER_CA = authority("clients"), authority("others")


def test_who_signs_certificates_of_clients(tmp_path: Path) -> None:
    """Both files are taken together, or what was good before; one that is broken at the start ends the router."""
    bundle, lists = tmp_path / "clients.pem", tmp_path / "lists.pem"
    bundle.write_text(_CA.pem)
    listed = revoke(_CA)
    lists.write_text(listed)
    files = TlsFiles(None, None, bundle, lists)
    assert files
    first = files.first()
    assert (first.clients, first.revoked) == (_CA.pem, listed)
    bundle.write_text(_OTHER_CA.pem)
    with capture_logs() as logs:
        assert files.look() is first
        assert files.look() is first
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert "--mutual-tls-auth-crl: the list of 'CN=clients' is signed by none of the authorities" in line["problem"]
    lists.write_text(revoke(_OTHER_CA))
    assert files.look().clients == _OTHER_CA.pem
    lists.unlink()
    assert files.look().clients == _OTHER_CA.pem
    for broken in ("", _CA.pem + _CA.key, "x" * 200_000):
        bundle.write_text(broken)
        with pytest.raises(SettingsError, match="--mutual-tls-auth-ca: "):
            TlsFiles(None, None, bundle).first()
    bundle.write_text(_CA.pem)
    lists.write_text("")
    with pytest.raises(SettingsError, match="--mutual-tls-auth-crl: it is empty"):
        TlsFiles(None, None, bundle, lists).first()
