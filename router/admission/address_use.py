"""Which namespaces may come to use which named addresses; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router.admission.policy_values import TCP_ADDRESSES
from router.admission.verdicts import Reason, Rejection


@dataclass(frozen=True, slots=True)
class AddressUse:
    """Says who may.

    Args:
        allowed: gives the names of the addresses that a namespace may use; None where nothing is said of it.
        default: what counts then.
    """

    allowed: Callable[[str], frozenset[str] | None] = lambda _namespace: None
    default: frozenset[str] = frozenset()

    def refusal(self, namespace: str, address: str) -> Rejection | None:
        """Say why a namespace may not have a port of an address that it does not hold; None if it may."""
        if not address:
            return None
        said = self.allowed(namespace)
        if address in (said if said is not None else self.default):
            return None
        return Rejection(
            Reason.ADDRESS_NOT_ALLOWED,
            f"namespace {namespace} may not use the address {address}; an admin lets it, by the annotation {TCP_ADDRESSES} of the namespace, or --address-default-allowed",
        )


NOBODY = AddressUse()
