"""What the router found out about who is served, beside what objects say: no object of the API, but kept as those are."""

from __future__ import annotations

from router.model import Asker
from router.objects.meta import ObjectMeta, WholeObject


class AskerNote(WholeObject, frozen=True, kw_only=True):
    """A warning for one asker. Its key is the asker's namespace and log name, which no two that are there at a time have, and what it is about."""

    asker: Asker
    warning: str

    @classmethod
    def about(cls, asker: Asker, warning: str, topic: str) -> AskerNote:
        """Give the note about an asker; ``topic`` is a word of whoever found it out."""
        # No name of an object has a blank.
        name = f"{asker.log_name} {topic}"
        return cls(metadata=ObjectMeta(name=name, namespace=asker.namespace), asker=asker, warning=warning)
