"""Annotations that are nearly ours: a key that was mistyped says nothing to anybody, least of all to who wrote it.

Keys of other routers under the same prefix are theirs, and no mistakes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from router.admission import options
from router.admission.options import (
    CLIENT_CA,
    CLIENT_CERTIFICATE,
    CLIENT_CRL,
    EXTERNAL_TCP_PORT,
    IP_ALLOWLIST,
    IP_WHITELIST,
    PREFIX,
    ROUTER_NAME,
    STARTTLS,
    WZH_ROUTER_NAME,
)
from router.admission.text import shown
from router.admission.verdicts import NotAcceptable, Reason
from router.model import ROUTE_KIND
from router.objects.cis import TransportServer
from router.objects.kinds import AskingObject
from router.objects.porter import TransportServerClaim

OTHERS = frozenset({
    *(PREFIX + name for name in (
        "disable_cookies", "h1-adjust-case", "hsts_header", "log-send-hostname", "rate-limit-connections.rate-http", "rewrite-target",
        "set-forwarded-headers",
    )),
    "router.openshift.io/cookie_name", "router.openshift.io/cookie-same-site",
})  # fmt: skip
"""What OpenShift's own router reads on a Route beside our keys (openshift-docs, modules/nw-route-specific-annotations.adoc)."""

_OWN = frozenset(value for name, value in vars(options).items() if name.isupper() and isinstance(value, str)) - {PREFIX}
_ALLOWLISTS = (IP_ALLOWLIST, IP_WHITELIST)
_OF_CLIENTS = (CLIENT_CA, CLIENT_CRL, CLIENT_CERTIFICATE)
_CHECKS = (*_ALLOWLISTS, *_OF_CLIENTS)
"""What keeps somebody out: nearly one of these is not passed over."""
_ALLOWLIST_WORDS = ("allowlist", "whitelist")
_WHO_MAY_CONNECT = ("ipallow", "ipwhite", "allowip", "allowedip", "allowfrom", "allowsource", "allowedsource")
"""Beginnings of names that are no allowlist by their letters, and by what they mean."""
_DENYLIST_WORDS = ("denylist", "blacklist", "blocklist")
_WHO_MAY_NOT_CONNECT = ("ipdeny", "ipblock", "denyip", "deniedip", "blockip", "blockedip", "denyfrom", "denysource")
"""The same of lists of those who may not connect, which this router does not have."""
_UNSERVED_TLS = frozenset({"clientcertificates", "clientcert", "mutualtls", "mtls"})
"""Keys, without case and dashes, of what would be a check."""
_NEAR_PREFIX = 3
_SHORT_NAME = 8
"""Up to so many letters one mistake is near, with more of them two are."""
_LONGEST = 80
_MOST = 3
"""So many mistakes of one Route are told; who has mended these learns of the next."""
_MOST_LOOKED_AT = 100
"""So many unknown keys of one Route are looked at. A Route has a handful."""
_REMEMBERED = 4096
MAX_ANNOTATIONS = 1000
"""Of a Route. Objects have some dozens, of all who annotate them; the API would take tens of thousands."""


@dataclass(frozen=True, slots=True)
class NearKey:
    """A key of a Route, and the one of ours that it nearly is."""

    key: str
    meant: str

    def __str__(self) -> str:
        return f"annotation {shown(self.key)} says nothing to this router; {self.meant} does: correct it, or remove it"


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Why a Route or a Service is none of ours, though it looks as if it were to be a router's of this kind."""

    reason: str
    names_router: str | None
    """The router that it is for; None where it names none and has to, empty where it need not."""


def near_keys(annotations: Mapping[str, str]) -> tuple[NearKey, ...]:
    """Give the keys that are nearly ours, sorted; those that would keep somebody out first. Where there are too many to look at, none."""
    if len(annotations) > MAX_ANNOTATIONS:
        return ()
    strange = [key for key in annotations if key not in _OWN and key not in OTHERS and len(key) <= _LONGEST]
    # However many there are: whether a Route is open to everybody does not depend on it.
    unknown = sorted(strange, key=lambda key: (not any(word in _plain(key) for word in _ALLOWLIST_WORDS), key))
    found = [NearKey(key, meant) for key in unknown[:_MOST_LOOKED_AT] if (meant := _meant(key)) is not None]
    return tuple(sorted(found, key=lambda near: near.meant not in _CHECKS))


def read_near_keys(annotations: Mapping[str, str], kind: str = ROUTE_KIND) -> tuple[str, ...]:
    """Give a warning for each key that is nearly ours.

    Raises:
        NotAcceptable: one is nearly an allowlist, or lists who may not connect, or asks for certificates of clients. To pass it over would let
            everybody in: such a check fails closed. Or there are more than can be looked at.
    """
    if len(annotations) > MAX_ANNOTATIONS:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"the {kind} has {len(annotations)} annotations; accepted are up to {MAX_ANNOTATIONS}, of whatever kind",
        )
    if (denylist := next(filter(_is_denylist, sorted(annotations)), None)) is not None:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {shown(denylist)} keeps nobody out, for this router has no list of those who may not connect; "
            f"name those who may in {IP_ALLOWLIST}, or remove it",
        )
    if (unserved := next(filter(_asks_for_unserved_tls, sorted(annotations)), None)) is not None:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {shown(unserved)} asks for what this router does not do by it: clients are verified by {CLIENT_CA}; correct it, or remove it",
        )
    if kind != ROUTE_KIND and (clients := next((key for key in _OF_CLIENTS if key in annotations), None)) is not None:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {clients} asks for certificates of clients, and the router ends TLS for Routes alone: use a Route, or remove it",
        )
    if kind != ROUTE_KIND and STARTTLS in annotations:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {STARTTLS} is for TLS that ends at the router, which is so for Routes alone; remove it: without it clients and pods agree on "
            "TLS themselves",
        )
    found = near_keys(annotations)
    if found and found[0].meant in _OF_CLIENTS:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {shown(found[0].key)} says nothing to this router, and is nearly {found[0].meant}; correct it, or remove it: "
            "a check of clients fails closed",
        )
    if found and found[0].meant in _ALLOWLISTS:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {shown(found[0].key)} is no allowlist to this router, and nearly {found[0].meant}; correct it, or remove it: "
            "an allowlist fails closed",
        )
    return told(found)


def told(near: Iterable[NearKey]) -> tuple[str, ...]:
    """Give the sentences; the last one counts what is left out."""
    sentences = [str(each) for each in near]
    more = len(sentences) - _MOST
    return (
        tuple(sentences) if more <= 0 else (*sentences[:_MOST], f"{more} more annotations say nothing to this router")
    )


def left_alone(obj: AskingObject, router_name: str) -> LeftAlone | None:
    """Say why a Route, or a Service, that is not ours was left alone; None for one that gives no sign of being for a router of this kind."""
    annotations = obj.metadata.annotations or {}
    name = annotations.get(ROUTER_NAME, annotations.get(WZH_ROUTER_NAME))
    near = near_keys(annotations)
    if name is None and isinstance(obj, TransportServerClaim | TransportServer):
        option = "--transport-server-claims" if isinstance(obj, TransportServerClaim) else "--transport-servers"
        return LeftAlone(f"this router serves none that names no router, or is of another class ({option})", "")
    if name is not None:
        is_near = _plain(name) == _plain(router_name) or _distance(name, router_name, 1) <= 1
        hint = f", nearly {shown(router_name)}, which is this one's" if is_near else ""
        return LeftAlone(f"it is for the router {shown(name[:_LONGEST])}{hint}", name)
    if any(each.meant in {ROUTER_NAME, WZH_ROUTER_NAME} for each in near):
        return LeftAlone("; ".join(told(each for each in near if each.meant in {ROUTER_NAME, WZH_ROUTER_NAME})), None)
    asking = (
        [EXTERNAL_TCP_PORT]
        if EXTERNAL_TCP_PORT in annotations
        else [each.key for each in near if each.meant == EXTERNAL_TCP_PORT]
    )
    if not asking:
        return None
    return LeftAlone(f"it has {shown(asking[0])}, but names no router; add {ROUTER_NAME}: {router_name}", None)


@lru_cache(_REMEMBERED)
def _meant(key: str) -> str | None:
    """Give the key of ours that this one, which is none, nearly is."""
    prefix, _, name = key.rstrip("/").rpartition("/")
    plain = _plain(name)
    same = _BY_PLAIN_NAME.get(plain)
    if same in _ALLOWLISTS:
        # Whoever writes this, wherever, has an allowlist in mind.
        return same
    if not _is_near_prefix(prefix):
        # Without a prefix a name must be one that others would hardly think of.
        has_hint = "openshift" in prefix.lower() if prefix else bool(set("-_.") & set(name))
        return same if has_hint else None
    if same is not None:
        return same
    if any(word in plain for word in _ALLOWLIST_WORDS) or plain.startswith(_WHO_MAY_CONNECT):
        return IP_WHITELIST if _ALLOWLIST_WORDS[1] in plain else IP_ALLOWLIST
    most = 1 if len(plain) <= _SHORT_NAME else 2
    near = [
        (distance, known)
        for each, known in _BY_PLAIN_NAME.items()
        if (distance := _distance(plain, each, most)) <= most
    ]
    return min(near)[1] if near else None


@lru_cache(_REMEMBERED)
def _is_denylist(key: str) -> bool:
    prefix, _, name = key.rpartition("/")
    plain = _plain(name)
    says_so = any(word in plain for word in _DENYLIST_WORDS) or plain.startswith(_WHO_MAY_NOT_CONNECT)
    return says_so and len(key) <= _LONGEST and _is_near_prefix(prefix)


@lru_cache(_REMEMBERED)
def _asks_for_unserved_tls(key: str) -> bool:
    prefix, _, name = key.rpartition("/")
    return len(key) <= _LONGEST and _plain(name) in _UNSERVED_TLS and _is_near_prefix(prefix)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter not in "-_. ")


def _is_near_prefix(prefix: str) -> bool:
    return prefix == "router.openshift.io" or _distance(prefix.lower(), PREFIX[:-1], _NEAR_PREFIX) <= _NEAR_PREFIX


def _distance(one: str, other: str, most: int) -> int:
    """Count the letters to add, to leave out, to replace, or to swap with the next, that make one text the other.

    More than ``most`` need not be counted: any larger number stands for that. Texts are no longer than keys and names may be.
    """
    if abs(len(one) - len(other)) > most or len(one) > _LONGEST:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        earlier, before, row = before, row, [index]
        for place, compared in enumerate(other, 1):
            best = min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (letter != compared))
            if index > 1 and place > 1 and letter == other[place - 2] and one[index - 2] == compared:
                best = min(best, earlier[place - 2] + 1)
            row.append(best)
        if min(row) > most:
            return most + 1
    return row[-1]


_BY_PLAIN_NAME = {_plain(key.rpartition("/")[2]): key for key in sorted(_OWN)}
