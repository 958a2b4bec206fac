"""An object that is followed by its name: of which kind, what is known of it, and how often it is looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from router.cluster.handle import Handle
from router.cluster.kinds import Resource
from router.objects.credential import Credential
from router.objects.meta import ObjectKey
from router.supervisor import OwnedThread


@dataclass(frozen=True, slots=True)
class NamedKind:
    """A resource whose objects are followed by name."""

    resource: Resource
    read: Callable[[bytes], Credential]
    """Makes what the store gets, of the JSON of one object; says of one that cannot be read that it is so."""
    account: str = ""
    """The user of whom a review has to say that he may get an object; empty asks for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPace:
    """How often things are done, seconds, and how many at a time."""

    review_s: float = 60.0
    """Between two reviews of one object, where the last one went well."""
    again_s: float = 15.0
    """Between two looks at one that is not watched, or that may not be read."""
    retry_s: float = 2.0
    """Until it is asked again what got no answer."""
    patience_s: float = 10.0
    """So long nothing is said of what got no answer yet."""
    distance_s: float = 0.005
    """Between two looks at objects of one namespace."""
    watched: int = 200
    watched_of_namespace: int = 20


@dataclass(slots=True)
class Named:
    """What is known of one object."""

    key: ObjectKey
    kind: NamedKind
    name: str
    since_s: float
    retry_s: float
    """Until it is asked again where there is no answer."""
    users: int = 0
    turn: int = -1
    """The number of the look that is due; of those before nothing is done."""
    known: Credential | None = None
    reviewed_s: float | None = None
    """When it was last said that the account may get it; None where it may not, or nobody knows."""
    watch: tuple[OwnedThread, Handle] | None = None
    unwatched_until_s: float = 0.0
    """It may be read, and not be watched: not tried again before."""
    problem: str = ""
    """Why there was no answer, as the log has it."""
    is_gone: bool = False
    """Nobody refers to it any more."""
    order: threading.Lock = field(default_factory=threading.Lock)
    """Held by who looks at it, or tells what a watch brought of it."""
