"""What the router is doing, as one frozen value that other threads may read at any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from types import MappingProxyType

from router.admission import Verdict
from router.admission.gateway.states import State, StateKey
from router.admission.policy import NO_NEWS, PolicyNews
from router.model import Asker, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The outcome of the last turn of the reconcile loop."""

    synced: bool = False
    """Every input has given what there was when it started."""
    stopping: bool = False
    """The router has been told to end."""
    verdicts: Mapping[Asker, Verdict] = field(default_factory=lambda: MappingProxyType({}))
    """The verdicts that go with ``applied``."""
    applied: Model | None = None
    """What HAProxy is known to serve; None before the first configuration and while HAProxy is down."""
    policy: PolicyNews = NO_NEWS
    """What is to be told of policies of namespaces."""
    gateway_api: Mapping[StateKey, State] = field(default_factory=lambda: MappingProxyType({}))
    """What objects of the Gateway API are told, beside what ``verdicts`` say of listeners."""
    owners: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """By backend of the port pool that serves somebody, the backend that this one would have of its own."""
    adds_backends: bool = False
    """The HAProxy that runs takes new backends without a reload."""
    sections_left: int = 0
    """Sections of it that serve nobody any more, and are deleted when it lets that be."""
    configured: bool = False
    """A configuration has been applied since the router started."""
    problem: str = ""
    """Why the last change could not be applied; empty while all is well."""
    template_problem: str = ""
    """Why the templates as they are now on disk were not taken up; empty if they were."""
    last_success_s: float | None = None
    """When something was last applied, seconds since the epoch."""

    @property
    def ready(self) -> bool:
        """Whether traffic may be sent here."""
        return self.synced and self.configured and not self.stopping


def differs(one: Snapshot, other: Snapshot) -> bool:
    """Say whether two snapshots differ. What is the same object in both, as most is after a small change, is not looked into."""
    # The same objects are passed over by the comparison of tuples.
    return _values(one) != _values(other)


_values: Callable[[Snapshot], tuple[object, ...]] = attrgetter(*(each.name for each in fields(Snapshot)))
