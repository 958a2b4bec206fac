"""What the router knows that it does not know: a kind that the API server has, and does not let it read. No object of the API, but kept as those are."""

from __future__ import annotations

from router.objects.meta import ObjectMeta, WholeObject


class Unread(WholeObject, frozen=True, kw_only=True):
    """Of one kind, in one namespace or (empty) in all. Its key is that namespace, and the plural of the kind."""

    problem: str
    """What the API server said, in a sentence."""

    @classmethod
    def of(cls, plural: str, namespace: str, problem: str) -> Unread:
        """Give it."""
        return cls(metadata=ObjectMeta(name=plural, namespace=namespace), problem=problem)
