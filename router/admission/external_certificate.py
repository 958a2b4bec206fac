"""The Secret that ``spec.tls.externalCertificate`` names, or why its certificate cannot be had.

The rules are those of OpenShift's router (openshift/router, pkg/router/controller/route_secret_manager.go, and routeapihelpers/validation.go), and so are
the reasons. A Secret that was deleted has the reason of one that never was: what a router happened to see is not to decide what it says.
"""

from __future__ import annotations

from collections.abc import Mapping

from router.admission.certificates import Pair, read_pair
from router.admission.text import is_dns_subdomain, shown
from router.admission.verdicts import NotAcceptable, Reason
from router.objects.credential import Credential, Lack
from router.objects.meta import ObjectKey
from router.objects.route import Route, RouteTLS

FIELD = "spec.tls.externalCertificate"


def external_name(tls: RouteTLS) -> str:
    """Give the name of the Secret, be it one that no Secret can have; empty where none is named."""
    return tls.external_certificate.name if tls.external_certificate is not None else ""


def secret_of(route: Route) -> ObjectKey | None:
    """Give the Secret to ask for. A name that no Secret can have is never asked for: it would go into paths."""
    name = external_name(route.spec.tls) if route.spec.tls is not None else ""
    return ObjectKey(route.metadata.namespace, name) if name and is_dns_subdomain(name) else None


def read_external(route: Route, tls: RouteTLS, credentials: Mapping[ObjectKey, Credential]) -> Pair:
    """Give the certificate in the Secret that a Route names.

    Raises:
        NotAcceptable: it cannot be had, or served. Another one never takes its place.
    """
    name = external_name(tls)
    if tls.certificate:
        raise NotAcceptable(
            Reason.EXTENDED_VALIDATION_FAILED,
            f"spec.tls has a certificate and an externalCertificate, {shown(name)}; one of the two must go",
        )
    secret = secret_of(route)
    if secret is None:
        raise NotAcceptable(
            Reason.EXTERNAL_CERTIFICATE_VALIDATION_FAILED,
            f"{FIELD}.name is {shown(name)}, which no Secret can be named",
        )
    found = credentials.get(secret, _ABSENT)
    if found.lack is not Lack.NOTHING:
        raise NotAcceptable(*_lack(found, name))
    return read_pair(f"Secret {name}", found.certificate, found.key_pem, tls.ca_certificate)


_ABSENT = Credential(lack=Lack.ABSENT)


def _lack(found: Credential, name: str) -> tuple[Reason, str]:
    failed, unread = Reason.EXTERNAL_CERTIFICATE_VALIDATION_FAILED, Reason.EXTERNAL_CERTIFICATE_GET_FAILED
    match found.lack:
        case Lack.FORBIDDEN:
            return unread, (
                f"{FIELD}: this router may not get the Secret {shown(name)}: bind a Role with get, list and watch of it "
                "to the router's service account (docs/tls.md)"
            )
        case Lack.NOT_GRANTED:
            return failed, (
                f"{FIELD}: {found.problem} may not get the Secret {shown(name)}: bind a Role with get, list and watch of it to this account, "
                "and to the router's (docs/tls.md)"
            )
        case Lack.UNREADABLE:
            return failed, f"{FIELD}: the Secret {shown(name)} cannot be used: {found.problem}"
        case Lack.UNKNOWN:
            # Without what the API server said: its address, for one, is not for who may read Routes.
            return (
                unread,
                f"{FIELD}: the API server did not let the Secret {shown(name)} be looked at; the router's log says why",
            )
        case _:
            return failed, f"{FIELD}: there is no Secret {shown(name)} in the Route's namespace"
