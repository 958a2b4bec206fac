"""The certificates of a Gateway's listeners: whether they may be referred to, are there, and are whole."""

from __future__ import annotations

from collections.abc import Callable

from router.admission.gateway.grants import Grants, Referrer
from router.admission.gateway.states import RESOLVED_REFS, Said, not_so
from router.admission.text import shown
from router.objects.gateway import GROUP, Gateway, Listener, SecretRef
from router.objects.meta import ObjectKey

SecretProblem = Callable[[ObjectKey], str]
"""Says what keeps a Secret from being served; empty where nothing does."""


def secrets_of(gateway: Gateway) -> frozenset[ObjectKey]:
    """Give the Secrets that a Gateway's listeners refer to, there or not."""
    namespace = gateway.metadata.namespace
    refs = (ref for each in gateway.spec.listeners or () for ref in _refs(each))
    return frozenset(key for ref in refs if (key := _secret(ref, namespace)) is not None)


def certificate_problem(listener: Listener, namespace: str, grants: Grants, secret: SecretProblem) -> Said | None:
    """Say why a listener has not got its certificates; None where it has.

    Permission comes first: who may not refer to a Secret is not told whether there is one.

    Args:
        listener: one that ends TLS.
        namespace: of its Gateway.
        grants: who may refer to what.
        secret: says what is wrong with a Secret.
    """
    refs = _refs(listener)
    if not refs:
        return not_so(RESOLVED_REFS, "InvalidCertificateRef", "the listener ends TLS, and names no certificate")
    return next(filter(None, (_problem(ref, namespace, grants, secret) for ref in refs)), None)


def _problem(ref: SecretRef, namespace: str, grants: Grants, secret: SecretProblem) -> Said | None:
    key = _secret(ref, namespace)
    if key is None:
        named = shown(f"{ref.kind}.{ref.group}" if ref.group else ref.kind)
        return not_so(
            RESOLVED_REFS,
            "InvalidCertificateRef",
            f"certificateRef {shown(ref.name)} is a {named}; it has to be a Secret",
        )
    if not grants.permit(Referrer(GROUP, "Gateway", namespace), "", "Secret", key):
        return not_so(
            RESOLVED_REFS,
            "RefNotPermitted",
            f"no ReferenceGrant of namespace {shown(key.namespace)} lets a Gateway of namespace {shown(namespace)} refer to Secret {shown(key.name)}",
        )
    problem = secret(key)
    return not_so(RESOLVED_REFS, "InvalidCertificateRef", f"Secret {shown(ref.name)}: {problem}") if problem else None


def _refs(listener: Listener) -> tuple[SecretRef, ...]:
    return (listener.tls.certificate_refs if listener.tls is not None else None) or ()


def _secret(ref: SecretRef, namespace: str) -> ObjectKey | None:
    return ObjectKey(ref.namespace or namespace, ref.name) if (ref.group, ref.kind) == ("", "Secret") else None
