"""The certificates of a Gateway's listeners: whether they may be referred to, are there, and are whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from router.admission.certificates import Pair
from router.admission.gateway.grants import Grants, Referrer
from router.admission.gateway.states import RESOLVED_REFS, Said, StateKey, not_so
from router.admission.text import shown
from router.objects.gateway import GROUP, Gateway, Listener, ListenerSet, SecretRef
from router.objects.meta import ObjectKey

Secrets = Callable[[ObjectKey], Pair | str | None]
"""Gives what is in a Secret, or what keeps it from being served; None of one of which no more is known than that it is whole."""


def secrets_of(obj: Gateway | ListenerSet) -> frozenset[ObjectKey]:
    """Give the Secrets that the listeners of a Gateway, or of a ListenerSet, refer to, there or not."""
    namespace = obj.metadata.namespace
    refs = (ref for each in obj.spec.listeners or () for ref in _refs(each))
    return frozenset(key for ref in refs if (key := _secret(ref, namespace)) is not None)


def read_certificates(listener: Listener, owner: StateKey, grants: Grants, secret: Secrets) -> tuple[Pair, ...] | Said:
    """Give the certificates of a listener, as far as what is in them is known; or why it has not got all of them.

    Permission comes first: who may not refer to a Secret is not told whether there is one.

    Args:
        listener: one that ends TLS.
        owner: its Gateway, or its ListenerSet, to which no grant to its Gateway is one.
        grants: who may refer to what.
        secret: gives what is in a Secret.
    """
    refs = _refs(listener)
    if not refs:
        return not_so(RESOLVED_REFS, "InvalidCertificateRef", "the listener ends TLS, and names no certificate")
    found = [_read(ref, owner, grants, secret) for ref in refs]
    problem = next((each for each in found if isinstance(each, Said)), None)
    return problem or tuple(each for each in found if isinstance(each, Pair))


def certificate_for(name: str, pairs: Sequence[Pair]) -> Pair:
    """Give the certificate that clients are shown who ask for a name: the first that has the very name, else that is for it, else the first of all."""
    having = (each for each in pairs if name in each.names)
    covering = (each for each in pairs if each.covers(name))
    return next(chain(having, covering), pairs[0])


def _read(ref: SecretRef, owner: StateKey, grants: Grants, secret: Secrets) -> Pair | Said | None:
    key = _secret(ref, owner.namespace)
    if key is None:
        named = shown(f"{ref.kind}.{ref.group}" if ref.group else ref.kind)
        return not_so(
            RESOLVED_REFS,
            "InvalidCertificateRef",
            f"certificateRef {shown(ref.name)} is a {named}; it has to be a Secret",
        )
    if not grants.permit(Referrer(GROUP, owner.kind, owner.namespace), "", "Secret", key):
        return not_so(
            RESOLVED_REFS,
            "RefNotPermitted",
            f"no ReferenceGrant of namespace {shown(key.namespace)} lets a {owner.kind} of namespace {shown(owner.namespace)} refer to Secret {shown(key.name)}",
        )
    found = secret(key)
    if isinstance(found, str):
        return not_so(RESOLVED_REFS, "InvalidCertificateRef", f"Secret {shown(ref.name)}: {found}")
    return found


def _refs(listener: Listener) -> tuple[SecretRef, ...]:
    return (listener.tls.certificate_refs if listener.tls is not None else None) or ()


def _secret(ref: SecretRef, namespace: str) -> ObjectKey | None:
    return ObjectKey(ref.namespace or namespace, ref.name) if (ref.group, ref.kind) == ("", "Secret") else None
