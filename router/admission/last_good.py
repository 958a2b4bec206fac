"""What Routes were served with, for when their ConfigMaps come to say what is of no use.

Who is served keeps what was good, and is told; who asks anew is rejected. A ConfigMap that is gone is no mistake in it, but says that nobody is
to be let in any more: that fails closed.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from router.admission.client_certificates import config_maps_of, is_there, judge_config_maps
from router.admission.termination import Credentials
from router.admission.verdicts import Rejection
from router.objects.kinds import Slot


class LastGood:
    """By object of ours, the ConfigMaps that it was last served with."""

    def __init__(self) -> None:
        self._good: dict[Slot, Credentials] = {}

    def config_maps(
        self, slot: Slot, annotations: Mapping[str, str], namespace: str, credentials: Credentials
    ) -> Credentials | None:
        """Give the ConfigMaps that an object of ours names as they were, where they are of no use now; None where they are taken as they are.

        Args:
            slot: of the object.
            annotations: of the object, or what says the same.
            namespace: of the object.
            credentials: what is there.
        """
        former = self._good.pop(slot, None)
        keys = config_maps_of(annotations, namespace)
        if not keys or not all(is_there(key, credentials) for key in keys):
            return None
        found = {key: credentials[key] for key in keys}
        judged = judge_config_maps(annotations, namespace, found)
        if not isinstance(judged, Rejection):
            self._good[slot] = found
            return None
        if former is None or former.keys() != found.keys():
            return None
        self._good[slot] = former
        return {key: replace(each, problem=judged.message) for key, each in former.items()}

    def forget(self, slot: Slot) -> None:
        """Know nothing of an object that is gone, or not ours."""
        self._good.pop(slot, None)
