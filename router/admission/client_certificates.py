"""Which certificates the clients of a Route have to show: what its annotations and the router's options ask for; pure.

Whatever asks for a check and cannot be had rejects its Route: to pass it over would let everybody in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from router.admission.client_authorities import Authorities, judge_authorities
from router.admission.forms import Form, choice, read
from router.admission.options import CLIENT_CA, CLIENT_CERTIFICATE, CLIENT_CRL, POD_CONCURRENT_CONNECTIONS, SEND_PROXY
from router.admission.text import is_dns_subdomain
from router.admission.verdicts import NotAcceptable, Reason, Rejection
from router.model.tls import CLIENTS_OPTION, REVOKED_OPTION, ClientTls
from router.objects.config_map import AUTHORITIES, REVOKED, config_map_key
from router.objects.credential import DEFAULTS, Credential, Lack
from router.objects.meta import ObjectKey

if TYPE_CHECKING:
    from router.settings import AdmissionSettings

REQUIRED, OPTIONAL = "required", "optional"
KEYS = (CLIENT_CA, CLIENT_CRL, CLIENT_CERTIFICATE)
TELLS_OF_TLS = "v2-ssl"
"""What ``SEND_PROXY`` is where the pods are to hear of TLS that the router ended."""
_NAME_FORM: Form[str] = Form(
    "the name of a ConfigMap in the Route's namespace", lambda text: text if is_dns_subdomain(text) else None
)
_ABSENT = Credential(lack=Lack.ABSENT)
_WISH_FORM = choice((REQUIRED, OPTIONAL))


def config_maps_of(annotations: Mapping[str, str], namespace: str) -> tuple[ObjectKey, ...]:
    """Give the keys of the ConfigMaps that annotations name, whether those are there or not; of names that no ConfigMap can have none."""
    names = (annotations.get(key) for key in (CLIENT_CA, CLIENT_CRL))
    valid = {name: None for name in names if name is not None and is_dns_subdomain(name)}
    return tuple(config_map_key(namespace, name) for name in valid)


def judge_config_maps(
    annotations: Mapping[str, str], namespace: str, credentials: Mapping[ObjectKey, Credential]
) -> Authorities | Rejection:
    """Give what the ConfigMaps that annotations name say, or why that cannot be served."""
    ca, crl = annotations.get(CLIENT_CA, ""), annotations.get(CLIENT_CRL)
    found = {}
    for key, name in ((CLIENT_CA, ca), (CLIENT_CRL, crl)):
        if name is not None:
            each = credentials.get(config_map_key(namespace, name), _ABSENT)
            if each.lack is not Lack.NOTHING:
                return Rejection(Reason.CLIENT_CA_INVALID, f"annotation {key}: {_lack(each, name, namespace)}")
            found[key] = each
    lists_at = f"ConfigMap {crl}, key {REVOKED}" if crl is not None else ""
    lists = found[CLIENT_CRL].revoked if crl is not None else ""
    judged = judge_authorities(f"ConfigMap {ca}, key {AUTHORITIES}", found[CLIENT_CA].clients, lists_at, lists)
    return Rejection(Reason.CLIENT_CA_INVALID, judged) if isinstance(judged, str) else judged


def is_there(key: ObjectKey, credentials: Mapping[ObjectKey, Credential]) -> bool:
    """Say whether a ConfigMap is there, as far as is known, be it such that it cannot be read."""
    return credentials.get(key, _ABSENT).lack is not Lack.ABSENT


def _lack(found: Credential, name: str, namespace: str) -> str:
    match found.lack:
        case Lack.FORBIDDEN:
            return f"this router may not get the ConfigMap {name}: bind a Role with get, list and watch of it to the router's service account (docs/tls.md)"
        case Lack.UNREADABLE:
            return f"the ConfigMap {name} cannot be used: {found.problem}"
        case Lack.ABSENT:
            return f"there is no ConfigMap {name} in the namespace {namespace}"
        case _:
            # Without what the API server said: its address, for one, is not for who may read Routes.
            return f"the API server did not let the ConfigMap {name} be looked at; the router's log says why"


def read_clients(
    annotations: Mapping[str, str],
    namespace: str,
    settings: AdmissionSettings,
    credentials: Mapping[ObjectKey, Credential],
    *,
    ends_tls: bool,
) -> tuple[ClientTls | None, tuple[str, ...]]:
    """Give which certificates the clients of a Route have to show, and what its owner may not have meant.

    Args:
        annotations: of the Route.
        namespace: of the Route.
        settings: of this router.
        credentials: what the Route may refer to.
        ends_tls: whether the router ends TLS for it.

    Raises:
        NotAcceptable: it asks for a check that cannot be had.
    """
    wish = read(annotations, CLIENT_CERTIFICATE, _WISH_FORM)
    ca, crl = read(annotations, CLIENT_CA, _NAME_FORM), read(annotations, CLIENT_CRL, _NAME_FORM)
    asked = next((key for key in KEYS if key in annotations), None)
    if not ends_tls:
        if asked is not None:
            raise _invalid(
                f"annotation {asked} asks for certificates of clients, and the router does not end TLS for this Route: set "
                "spec.tls.termination to edge or reencrypt, or leave the check to the pods and remove it"
            )
        return None, unheard(annotations)
    clients, warnings = (
        _by_router(asked, wish, crl, settings, credentials)
        if ca is None
        else _by_route(annotations, namespace, wish, settings, credentials)
    )
    if annotations.get(SEND_PROXY) != TELLS_OF_TLS:
        return clients, warnings
    if clients is None:
        # By the protocol, and to who reads it, 0 is a certificate that was shown and verified.
        raise _invalid(
            f"annotation {SEND_PROXY} is {TELLS_OF_TLS}, by which HAProxy tells pods of a client without a certificate that it was verified (0): have "
            f"clients asked for one ({CLIENT_CA}), or have {SEND_PROXY} be v2"
        )
    if clients.required:
        return clients, warnings
    if POD_CONCURRENT_CONNECTIONS in annotations:
        said = (
            f"annotation {POD_CONCURRENT_CONNECTIONS} counts clients with a certificate and those without one each by themselves, "
            f"as {SEND_PROXY} is {TELLS_OF_TLS} and {CLIENT_CERTIFICATE} is {OPTIONAL}"
        )
        warnings = (*warnings, said)
    return replace(clients, tells_apart=True), warnings


def unheard(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Say where pods are to hear of TLS that the router does not end."""
    if annotations.get(SEND_PROXY) != TELLS_OF_TLS:
        return ()
    return (f"annotation {SEND_PROXY} is {TELLS_OF_TLS}, and the router does not end TLS here: it is as v2",)


def _by_route(
    annotations: Mapping[str, str],
    namespace: str,
    wish: str | None,
    settings: AdmissionSettings,
    credentials: Mapping[ObjectKey, Credential],
) -> tuple[ClientTls, tuple[str, ...]]:
    """Give what holds for a Route with authorities of its own."""
    found = judge_config_maps(annotations, namespace, credentials)
    if isinstance(found, Rejection):
        raise NotAcceptable(found.reason, found.message)
    required, warnings = _is_required(wish, settings)
    problem = credentials[config_map_key(namespace, annotations[CLIENT_CA])].problem
    outdated = (f"{problem}: what was there before is still in force",) if problem else ()
    return _clients(found, required=required), (*warnings, *found.warnings, *outdated)


def _by_router(
    asked: str | None,
    wish: str | None,
    crl: str | None,
    settings: AdmissionSettings,
    credentials: Mapping[ObjectKey, Credential],
) -> tuple[ClientTls | None, tuple[str, ...]]:
    """Give what holds for a Route without authorities of its own."""
    if crl is not None:
        raise _invalid(
            f"annotation {CLIENT_CRL} says which certificates are revoked, and needs {CLIENT_CA}, who signs them"
        )
    if settings.client_auth is None:
        if asked is not None:
            raise _invalid(
                f"annotation {asked} needs {CLIENT_CA}: the ConfigMap with those who sign certificates of clients"
            )
        return None, ()
    defaults = credentials.get(DEFAULTS)
    if defaults is None or not defaults.clients:
        raise NotAcceptable(
            Reason.CLIENT_CA_INVALID,
            f"this router asks clients for certificates, and its CA for them is not there ({CLIENTS_OPTION})",
        )
    found = judge_authorities(
        CLIENTS_OPTION, defaults.clients, REVOKED_OPTION if defaults.revoked else "", defaults.revoked
    )
    required, warnings = _is_required(wish or settings.client_auth, settings)
    if isinstance(found, str):
        raise NotAcceptable(Reason.CLIENT_CA_INVALID, found)
    return _clients(found, required=required, subjects=settings.client_subjects), (*warnings, *found.warnings)


def _is_required(wish: str | None, settings: AdmissionSettings) -> tuple[bool, tuple[str, ...]]:
    if settings.client_auth == REQUIRED and wish == OPTIONAL:
        said = f"annotation {CLIENT_CERTIFICATE} has no effect: this router lets in nobody without a certificate where it ends TLS"
        return True, (said,)
    return wish != OPTIONAL, ()


def _clients(found: Authorities, *, required: bool, subjects: str = "") -> ClientTls:
    return ClientTls(found.pem, required, found.revoked, subjects, found.until_s, found.revoked_until_s)


def _invalid(message: str) -> NotAcceptable:
    return NotAcceptable(Reason.INVALID_ANNOTATION, message)
