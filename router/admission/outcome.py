"""What admission decides, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.admission.gateway.states import State, StateKey
from router.admission.policy import NO_NEWS, PolicyNews
from router.admission.verdicts import Verdict
from router.model import Asker, Model
from router.objects.meta import ObjectKey


class Outcome(msgspec.Struct, frozen=True):
    """What admission decided. Frozen all through: who sees the same section or verdict again takes it for unchanged (``ordered.differences``)."""

    model: Model
    verdicts: Mapping[Asker, Verdict]
    """One for each asker of ours, in their order."""
    names: Mapping[ObjectKey, str] = msgspec.field(default_factory=dict)
    """What is to be looked up in the DNS, by the Services that say it."""
    policy: PolicyNews = NO_NEWS
    gateway_api: Mapping[StateKey, State] = msgspec.field(default_factory=dict)
    """What objects of the Gateway API are told, as far as that depends on no claim."""

    def is_same(self, other: Outcome) -> bool:
        """Say whether all in it are the objects that they are in another one."""
        return (
            self.model is other.model
            and self.verdicts is other.verdicts
            and self.names is other.names
            and self.policy is other.policy
            and self.gateway_api is other.gateway_api
        )
