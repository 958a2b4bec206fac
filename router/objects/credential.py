"""What Routes refer to where TLS ends or begins anew: certificates with their keys, and authorities, wherever they are kept."""

from __future__ import annotations

from router.objects.meta import ObjectKey, ObjectMeta, WholeObject

DEFAULTS = ObjectKey("", "tls defaults")
"""Of what Routes get that name no certificate or authorities; no Secret can have this name."""


class Credential(WholeObject, frozen=True, kw_only=True):
    """Texts in PEM, as they were found; whether they can be served, admission says."""

    metadata: ObjectMeta = ObjectMeta(name=DEFAULTS.name, namespace=DEFAULTS.namespace)
    certificate: str = ""
    key_pem: str = ""
    """Empty where ``certificate`` has it too."""
    authorities: str = ""
    """Whoever the certificates of pods are verified by."""

    def __repr__(self) -> str:
        # Not what is in it: that is somebody's private key.
        return f"Credential({self.metadata.namespace}/{self.metadata.name})"
