"""What Routes refer to where TLS ends or begins anew: certificates with their keys, and authorities, wherever they are kept."""

from __future__ import annotations

from enum import StrEnum

from router.objects.meta import ObjectKey, ObjectMeta, WholeObject

SECRET_KIND = "Secret"  # noqa: S105 - of an object
DEFAULTS = ObjectKey("", "tls defaults")
"""Of what Routes get that name no certificate or authorities; no Secret can have this name."""


class Lack(StrEnum):
    """Why an object that is named cannot be had."""

    NOTHING = ""
    """It can."""
    ABSENT = "absent"
    FORBIDDEN = "forbidden"
    """This router may not read it."""
    NOT_GRANTED = "not granted"
    """The account that a review asks about may not get it."""
    UNREADABLE = "unreadable"
    """It is there, and is not of the form, or kind, that it has to be."""
    UNKNOWN = "unknown"
    """The API server has not answered yet."""


class Credential(WholeObject, frozen=True, kw_only=True):
    """Texts in PEM, as they were found; whether they can be served, admission says."""

    metadata: ObjectMeta = ObjectMeta(name=DEFAULTS.name, namespace=DEFAULTS.namespace)
    certificate: str = ""
    key_pem: str = ""
    """Empty where ``certificate`` has it too."""
    authorities: str = ""
    """Whoever the certificates of pods are verified by."""
    clients: str = ""
    """Whoever the certificates of clients are verified by."""
    revoked: str = ""
    """Lists of the certificates of clients that are taken for revoked."""
    lack: Lack = Lack.NOTHING
    problem: str = ""
    """Of what is lacking, what there is to say beside the lack itself; else what is wrong with what came after it, which is not used. Nothing of what is in it."""

    def __repr__(self) -> str:
        # Not what is in it: that is somebody's private key.
        return f"Credential({self.metadata.namespace}/{self.metadata.name}, {self.lack})"

    @classmethod
    def lacking(cls, key: ObjectKey, lack: Lack, problem: str = "") -> Credential:
        """Give what stands for an object that cannot be had."""
        return cls(metadata=ObjectMeta(name=key.name, namespace=key.namespace), lack=lack, problem=problem)
