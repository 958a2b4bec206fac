"""Which certificates are served: OpenShift's extended validation, and bounds of our own."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission.certificates import Pair, judge_pair, read_authorities, read_pair
from router.admission.pem import MAX_BYTES
from router.admission.verdicts import NotAcceptable, Reason
from tests.support.certificates import Made, make

_HOST = "db.example.com"
_ROOT = make("root", is_authority=True)
_OTHER_ROOT = make("other root", is_authority=True)
_INTERMEDIATE = make("intermediate", signed_by=_ROOT, is_authority=True)
_OWN = make(_HOST)
_ISSUED = make(_HOST, signed_by=_INTERMEDIATE)
_RSA = rsa.generate_private_key(65537, 2048)
_EMPTY_KEY_PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
_SHA1_ROOT = """\
-----BEGIN CERTIFICATE-----
MIIBejCCASKgAwIBAgIUJkl+hKUcdmm8fj0LEXfL0mCqj/4wCQYHKoZIzj0EATAT
MREwDwYDVQQDDAhvbGQgcm9vdDAgFw0yNjExMjcxODMyNTlaGA8yMTI2MTEwMzE4
MzI1OVowEzERMA8GA1UEAwwIb2xkIHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMB
BwNCAAQr15WQkGoynBkSZgTdNJYGRddOmBgMdP3jmJVkmi/4k+x5dOfCpVkXY237
TXcGW5eiM8qOgjg4bzEpKGsTai6vo1MwUTAdBgNVHQ4EFgQUAgeC4dnzDhqBepBS
SHS5M4In0lgwHwYDVR0jBBgwFoAUAgeC4dnzDhqBepBSSHS5M4In0lgwDwYDVR0T
AQH/BAUwAwEB/zAJBgcqhkjOPQQBA0cAMEQCIDCGxTJ0shh0fimFedJfP0CxK9vp
ITJTcfr+aRSLOYOgAiBgm0PKwFoi5MHE1nb4MS0skZfxKGATDmBPGIgPYMXh7A==
-----END CERTIFICATE-----
"""
"""Made by OpenSSL, as the next: ``cryptography`` signs nothing by SHA-1 any more."""
_SHA1_ISSUED = """\
-----BEGIN CERTIFICATE-----
MIIBJjCBzgIUGe6s+tnwEMSCqySdI103zC9Av0IwCQYHKoZIzj0EATATMREwDwYD
VQQDDAhvbGQgcm9vdDAgFw0yNjExMjcxODMyNTlaGA8yMTI2MTEwMzE4MzI1OVow
GTEXMBUGA1UEAwwOZGIuZXhhbXBsZS5jb20wWTATBgcqhkjOPQIBBggqhkjOPQMB
BwNCAARYRir7C1bsZzmn3gdkYpP7/vzw81yPJxTMzU/VLsp8tKk700cNiEY309Ko
GtE/gNkFJvjNErx+lB9dbmiIdOVyMAkGByqGSM49BAEDSAAwRQIgCxOqszk6FeSu
/f7qW9IpL7mdh+ACThWiZE+8Bhe5VK8CIQCIXaNmp6B+/0vZWqCxI8SkpH0jEXKL
MJ9QejN888NGLw==
-----END CERTIFICATE-----
"""
_TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL


def _read(certificate: str, key: str = "", ca: str = "") -> str:
    """Give what HAProxy gets."""
    return bytes(read_pair("spec.tls", certificate, key, ca).certificate.pem).decode()


def _problem(certificate: str, key: str = "", ca: str = "") -> str:
    with pytest.raises(NotAcceptable) as refused:
        read_pair("spec.tls", certificate, key, ca)
    assert refused.value.reason is Reason.EXTENDED_VALIDATION_FAILED
    return refused.value.message


def _rsa_key(bits: int) -> Made:
    return make(_HOST, key=rsa.generate_private_key(65537, bits))


ACCEPTED: dict[str, Callable[[], tuple[str, str, str]]] = {
    "self-signed": lambda: (_OWN.pem, _OWN.key, ""),
    "key in the certificate": lambda: (_OWN.pem + _OWN.key, "", ""),
    "key before the certificate": lambda: (_OWN.key + _OWN.pem, "", ""),
    "EC key as OpenSSL wrote it": lambda: (_OWN.pem, _EMPTY_KEY_PARAMETERS + _OWN.key_as(_TRADITIONAL), ""),
    "RSA": lambda: ((made := make(_HOST, key=_RSA)).pem, made.key_as(_TRADITIONAL), ""),
    "P-521": lambda: ((made := make(_HOST, key=ec.generate_private_key(ec.SECP521R1()))).pem, made.key, ""),
    "chain": lambda: (_ISSUED.pem, _ISSUED.key, _INTERMEDIATE.pem + _ROOT.pem),
    "chain, the root first": lambda: (_ISSUED.pem, _ISSUED.key, _ROOT.pem + _INTERMEDIATE.pem),
    "chain without the root": lambda: (_ISSUED.pem, _ISSUED.key, _INTERMEDIATE.pem),
    "chain in the certificate": lambda: (_ISSUED.pem + _INTERMEDIATE.pem, _ISSUED.key, ""),
    "itself for its CA": lambda: (_OWN.pem, _OWN.key, _OWN.pem),
    "expired": lambda: ((made := make(_HOST, days=-1, since_days=9)).pem, made.key, ""),
    "not valid yet": lambda: ((made := make(_HOST, days=9, since_days=-1)).pem, made.key, ""),
    "expired, with its chain": lambda: (
        (made := make(_HOST, days=-1, since_days=9, signed_by=_ROOT)).pem,
        made.key,
        _ROOT.pem,
    ),
    "text between": lambda: (f"Subject: d\u00fc \0\n\n{_OWN.pem}\n\n\n# comment", f"\n\n{_OWN.key}\n", ""),
    "Windows' line ends": lambda: (_OWN.pem.replace("\n", "\r\n"), _OWN.key.replace("\n", "\r\n"), ""),
    "empty lines in a block": lambda: (_OWN.pem.replace("\n", "\n\n"), _OWN.key, ""),
    "for servers and clients": lambda: (
        (
            made := make(
                _HOST,
                signed_by=_ROOT,
                extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])],
            )
        ).pem,
        made.key,
        _ROOT.pem,
    ),
}


@pytest.mark.parametrize("case", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_served(case: Callable[[], tuple[str, str, str]]) -> None:
    """It is written anew: the key, the certificate and the chain, and no empty line at which HAProxy's commands would end."""
    certificate, key, ca = case()
    written = _read(certificate, key, ca)
    assert "\n\n" not in written
    assert written.isascii()
    assert written.startswith("-----BEGIN PRIVATE KEY-----\n")
    blocks = [line for line in written.splitlines() if line.startswith("-----BEGIN")]
    given = set(x509.load_pem_x509_certificates((certificate + ca).replace("\n\n", "\n").encode()))
    assert blocks == ["-----BEGIN PRIVATE KEY-----", *["-----BEGIN CERTIFICATE-----"] * len(given)]
    first = x509.load_pem_x509_certificates(written.encode())[0]
    assert first == x509.load_pem_x509_certificates(certificate.replace("\n\n", "\n").encode())[0]


REFUSED: dict[str, tuple[Callable[[], tuple[str, str, str]], str]] = {
    "no key": (lambda: (_OWN.pem, "", ""), "spec.tls.key: no private key is there"),
    "another's key": (
        lambda: (_OWN.pem, _ISSUED.key, ""),
        "spec.tls.key: it is not the private key of the certificate",
    ),
    "leaf last": (
        lambda: (_INTERMEDIATE.pem + _ISSUED.pem, _ISSUED.key, ""),
        "it is not the private key of the certificate, which has to be the first one",
    ),
    "no PEM": (lambda: ("certificate", _OWN.key, ""), "spec.tls.certificate: no PEM block CERTIFICATE is there"),
    "only space": (lambda: (" \n", _OWN.key, ""), "spec.tls.certificate: it is empty"),
    "cut off": (lambda: (_OWN.pem[:-30], _OWN.key, ""), "spec.tls.certificate: a PEM block has no end"),
    "no Base64": (
        lambda: (_OWN.pem.replace("\n", "\n*", 2), _OWN.key, ""),
        "spec.tls.certificate: a PEM block CERTIFICATE is no Base64",
    ),
    "Latin-1 in a block": (lambda: (_OWN.pem.replace("\n", "\n\xe9", 2), _OWN.key, ""), "is no Base64"),
    "NUL in a block": (lambda: (_OWN.pem.replace("\n", "\n\0", 2), _OWN.key, ""), "is no Base64"),
    "no DER": (
        lambda: ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", _OWN.key, ""),
        "spec.tls.certificate: a certificate cannot be read",
    ),
    "ends as another": (
        lambda: (_OWN.pem.replace("END CERTIFICATE", "END PUBLIC KEY"), _OWN.key, ""),
        "a PEM block begins as CERTIFICATE and ends as PUBLIC KEY",
    ),
    "another kind": (
        lambda: (_OWN.pem + "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", _OWN.key, ""),
        "unrecognized PEM block X509 CRL",
    ),
    "encrypted key": (
        lambda: (
            _OWN.pem,
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----",
            "",
        ),
        "spec.tls.key: a PEM block has no end",
    ),
    "broken key": (
        lambda: (_OWN.pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", ""),
        "spec.tls.key: the private key cannot be read",
    ),
    "Ed25519": (
        lambda: ((made := make(_HOST, key=ed25519.Ed25519PrivateKey.generate())).pem, made.key, ""),
        "spec.tls.key: a private key of the kind",
    ),
    "small RSA key": (lambda: ((made := _rsa_key(1024)).pem, made.key, ""), "an RSA key of 1024 bits"),
    "another curve": (
        lambda: ((made := make(_HOST, key=ec.generate_private_key(ec.SECP256K1()))).pem, made.key, ""),
        "an EC key on the curve secp256k1",
    ),
    "another's chain": (
        lambda: (_ISSUED.pem, _ISSUED.key, _OTHER_ROOT.pem),
        "spec.tls.certificate: error verifying certificate: it is signed by none",
    ),
    "root without the intermediate": (lambda: (_ISSUED.pem, _ISSUED.key, _ROOT.pem), "it is signed by none"),
    "signed by no authority": (
        lambda: ((made := make(_HOST, signed_by=_OWN)).pem, made.key, _OWN.pem),
        "what signed it is no certificate authority",
    ),
    "for clients only": (
        lambda: (
            (
                made := make(
                    _HOST,
                    signed_by=_ROOT,
                    extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])],
                )
            ).pem,
            made.key,
            _ROOT.pem,
        ),
        "it is not for servers",
    ),
    "SHA-1": (lambda: (_SHA1_ISSUED, _OWN.key, ""), "spec.tls.certificate: a certificate is signed by use of SHA1"),
    "SHA-1 in the chain": (
        lambda: (_OWN.pem, _OWN.key, _OWN.pem + _SHA1_ISSUED),
        "spec.tls.caCertificate: a certificate is signed by use of SHA1",
    ),
    "chain that is none": (lambda: (_OWN.pem, _OWN.key, "x"), "spec.tls.caCertificate: no PEM block CERTIFICATE"),
    "a megabyte": (lambda: (_OWN.pem + " " * 1_000_000, _OWN.key, ""), "accepted are up to 131072"),
    "many certificates": (
        lambda: ("".join((_OWN.pem, *(make(f"{n}.example.com").pem for n in range(64)))), _OWN.key, ""),
        "it has 65 PEM blocks; accepted are up to 64",
    ),
    "much together": (
        lambda: (
            "".join((_OWN.pem, *(make(f"{n}.example.com").pem for n in range(60)))),
            _OWN.key,
            "".join((_OWN.pem, *(make(f"{n}.example.org").pem for n in range(60)))),
        ),
        f"accepted are up to {MAX_BYTES}",
    ),
}


@pytest.mark.parametrize(("case", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(case: Callable[[], tuple[str, str, str]], said: str) -> None:
    """The message says which field is wrong, and nothing of what a key is."""
    certificate, key, ca = case()
    problem = _problem(certificate, key, ca)
    assert said in problem
    assert len(problem) < 300
    assert not any(line in problem for line in key.splitlines() if len(line) > 20)


def test_two_keys() -> None:
    """The first one counts, as in OpenShift's router, and the owner is told."""
    pair = read_pair("spec.tls", _OWN.pem + _OWN.key, _ISSUED.key, "")
    assert pair.warnings == ("spec.tls has 2 private keys, of which the first counts",)
    assert bytes(pair.certificate.pem).decode().count("PRIVATE KEY-----") == 2
    assert "it is not the private key" in _problem(_OWN.pem + _ISSUED.key, _OWN.key)


def test_names() -> None:
    """Names are compared without case, and a wildcard stands for one label."""
    made = make("A.example.com", "*.apps.example.com")
    pair = read_pair("spec.tls", made.pem, made.key, "")
    assert pair.names == ("*.apps.example.com", "a.example.com")
    assert pair.covers("a.example.com")
    assert pair.covers("x.apps.example.com")
    assert not pair.covers("x.y.apps.example.com")
    assert not pair.covers("apps.example.com")


def test_authorities() -> None:
    """What others are verified by is checked alike, and written anew; a self-signed root may be signed in whichever way."""
    assert read_authorities(f"text\n\n{_ROOT.pem}\n{_ROOT.pem}") == (_ROOT.pem, "")
    assert read_authorities("") == ("", "it is empty")
    assert read_authorities(_SHA1_ROOT) == (_SHA1_ROOT, "")
    assert "SHA1" in read_authorities(_SHA1_ISSUED)[1]


def test_nothing_shows_a_key() -> None:
    """Whoever prints what was read, in a log line or a traceback, prints no key."""
    pair = read_pair("spec.tls", _OWN.pem, _OWN.key, "")
    for shown in (repr(pair), str(pair), f"{pair}", f"{pair.certificate.pem}", str(pair.certificate.pem)):
        assert "PRIVATE KEY" not in shown
        assert "MIG" not in shown


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_others_write_has_an_answer(data: st.DataObject) -> None:
    """A certificate, key and chain with bytes that are others than they were are refused in words, or served; nothing is raised."""
    texts = []
    for made in (_ISSUED.pem, _ISSUED.key, _INTERMEDIATE.pem):
        kind, content = made.splitlines()[0], bytearray(base64.b64decode("".join(made.splitlines()[1:-1])))
        for place, byte in data.draw(
            st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=3)
        ):
            content[place] = byte
        texts.append(f"{kind}\n{base64.b64encode(content).decode()}\n{kind.replace('BEGIN', 'END')}\n")
    with warnings.catch_warnings():
        # Of numbers that are no numbers of certificates.
        warnings.simplefilter("ignore")
        judged = judge_pair("spec.tls", *texts)
    assert isinstance(judged, str | Pair)
