"""What an explanation goes by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from router.admission import Verdict
from router.admission.gateway.states import State, StateKey
from router.admission.policy import NO_NEWS, PolicyNews
from router.errors import SettingsError
from router.haproxy.talk.stats import ServerNow
from router.model import ROUTE_KIND, Asker, Model
from router.objects import cis
from router.objects.gateway import TlsRoute
from router.objects.kinds import ASKING, AskingObject
from router.objects.meta import ObjectKey
from router.objects.porter import CLAIM_KIND
from router.objects.store import Objects
from router.objects.tcp_route_policy import POLICY_KIND
from router.observe.explanation.words import Explanation, Step

TLS_ROUTE = "TLSRoute"
EXPLAINED: Mapping[str, type[AskingObject | TlsRoute]] = MappingProxyType({**ASKING, TLS_ROUTE: TlsRoute})
"""By their kind, what is explained: what asks, and what listeners of Gateways lead to by name."""
TCP_ROUTE = "TCPRoute"
BESIDE = frozenset({TCP_ROUTE, POLICY_KIND})
"""Kinds that ask for nothing themselves, and are explained by what they are told."""
_WANTED = re.compile(r"(?:([A-Za-z]+)/)?([^/:]+)/([^/:]+)(?::([^/:]+))?")
_KINDS = (
    {kind.lower(): kind for kind in (*EXPLAINED, *BESIDE)}
    | {f"{kind.lower()}s": kind for kind in (*EXPLAINED, TCP_ROUTE)}
    | {
        "tcproutepolicies": POLICY_KIND,
        "tcppolicy": POLICY_KIND,
        "svc": "Service",
        "tsc": CLAIM_KIND,
        "tscs": CLAIM_KIND,
        "ts": cis.KIND,
        "": "",
    }
)


class Wanted(NamedTuple):
    """Whose way is asked for."""

    kind: str
    """Empty for whichever there is."""
    namespace: str
    name: str
    section: str = ""
    """One of its sections; empty for all."""

    def explained(
        self, kind: str, verdict: str, steps: Iterable[Step], todo: tuple[str, ...], *, served: bool
    ) -> Explanation:
        """Give the way of one that has no sections, of this kind and name."""
        return Explanation(
            kind=kind,
            namespace=self.namespace,
            name=self.name,
            served=served,
            verdict=verdict,
            steps=tuple(steps),
            todo=todo,
        )

    @classmethod
    def read(cls, text: str) -> Wanted:
        """Read ``[KIND/]NAMESPACE/NAME[:SECTION]``; the kind is empty where none is said.

        Raises:
            SettingsError: it is of another form.
        """
        match = _WANTED.fullmatch(text)
        kind = _KINDS.get((match[1] or "").lower()) if match is not None else None
        if match is None or kind is None:
            kinds = ", ".join(sorted(each.lower() for each in (*EXPLAINED, *BESIDE)))
            raise SettingsError(
                f"{text!r} names nobody who asks: write [KIND/]NAMESPACE/NAME[:PORT], such as route/shop/db or service/shop/db:pg; kinds are {kinds}"
            )
        return cls(kind, match[2], match[3], match[4] or "")

    @property
    def path(self) -> str:
        """The text that ``read`` takes."""
        kind = f"{self.kind.lower()}/" if self.kind else ""
        return f"{kind}{self.namespace}/{self.name}{f':{self.section}' if self.section else ''}"

    def of(self, objects: Objects) -> Wanted:
        """Give it with a kind: where none was said, the first of which there is such an object, else a Route."""
        if self.kind:
            return self
        key = ObjectKey(self.namespace, self.name)
        kinds = (kind for kind, struct in ASKING.items() if objects.asking((struct, key)) is not None)
        return self._replace(kind=next(kinds, ROUTE_KIND))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of all, of which an explanation takes what is about one."""

    objects: Objects
    verdicts: Mapping[Asker, Verdict]
    model: Model | None
    """What HAProxy serves, or would; None while that is not known."""
    router_name: str
    ledger: str = ""
    policy: PolicyNews = NO_NEWS
    gateway_api: Mapping[StateKey, State] = field(default_factory=dict)
    """What objects of the Gateway API are told, beside what verdicts say of listeners."""
    servers: Mapping[str, ServerNow] | None = None
    """By name, those of the asker's backend; None where no HAProxy was asked."""
    canonical_hostname: str | None = None
    published_by: str = ""
    """The Service in front of the router, ``namespace/name``, whose ports it writes; empty without one."""
    probes: Mapping[str, str] = field(default_factory=dict)
    """What came of connecting from here, by the name of a server, or by the number of the asker's own port; ``ok`` is well."""
    runs: bool = True
    """There is a router of which these are the facts; False of manifests that are judged."""
