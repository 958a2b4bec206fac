"""What Routes were served with, for when their ConfigMaps come to say what is of no use.

Who is served keeps what was good, and is told; who asks anew is rejected. A ConfigMap that is gone is no mistake in it, but says that nobody is
to be let in any more: that fails closed.
"""

from __future__ import annotations

from msgspec.structs import replace

from router.admission.client_certificates import config_maps_of, is_there, judge_config_maps
from router.admission.kinds import KINDS
from router.admission.request import annotations_of
from router.admission.termination import Credentials
from router.admission.verdicts import Rejection
from router.objects.kinds import AskingObject, Slot


class LastGood:
    """By object of ours, the ConfigMaps that it was last served with."""

    def __init__(self) -> None:
        self._good: dict[Slot, Credentials] = {}

    def credentials(self, slot: Slot, obj: AskingObject, credentials: Credentials) -> Credentials:
        """Give what an object of ours may refer to: ConfigMaps as they were where they are of no use now.

        Args:
            slot: of the object.
            obj: the object.
            credentials: what is there.
        """
        annotations, namespace = annotations_of(obj.metadata), obj.metadata.namespace
        former = self._good.pop(slot, None)
        keys = config_maps_of(annotations, namespace)
        if not keys or not all(is_there(key, credentials) for key in keys):
            return credentials
        found = {key: credentials[key] for key in keys}
        judged = judge_config_maps(annotations, namespace, found)
        if not isinstance(judged, Rejection):
            self._good[slot] = found
            return credentials
        if former is None or former.keys() != found.keys():
            return credentials
        self._good[slot] = former
        others = {key: credentials[key] for key in KINDS[slot[0]].credentials_of(obj) if key in credentials}
        return others | {key: replace(each, problem=judged.message) for key, each in former.items()}

    def forget(self, slot: Slot) -> None:
        """Know nothing of an object that is gone, or not ours."""
        self._good.pop(slot, None)
