"""What the DNS says of the names that Services of type ExternalName lead to."""

from __future__ import annotations

from router.objects.meta import WholeObject


class ResolvedName(WholeObject, frozen=True):
    """The last answer about one Service's name; its key is that Service's. Whether an address may be connected to, admission says."""

    name: str = ""
    """The name that was asked for: the Service may say another one by now."""
    addresses: tuple[str, ...] = ()
    """Sorted, each once."""
    problem: str = ""
    """What is wrong with it, for a user; empty while all is well."""
