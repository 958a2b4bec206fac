"""What an admin lets each namespace have, from annotations of Namespaces and from a file; pure.

Teams cannot write either. Key by key the file wins; absent keys leave it to the router's options. What cannot be read closes a namespace
for new claims: whether somebody who holds something keeps it is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from router.admission.exclusive import Exclusive
from router.admission.policy_values import KEYS, read_rule, read_strange
from router.model import NamespaceLimits
from router.objects.labels import Matcher, matcher
from router.objects.namespace import Namespace, PolicyRule, PortPolicy
from router.objects.store import Changes, Objects
from router.ordered import SortedMap
from router.settings import AdmissionSettings, PortRanges

_NAME_LABEL = "kubernetes.io/metadata.name"
_UNKNOWN = "its policy has not been read (the router lists and watches namespaces)"
_FIELDS = tuple(KEYS.values())


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts for one namespace; None is left to the router's options."""

    ports: PortRanges | None = None
    exclusive: PortRanges | None = None
    max_ports: int | None = None
    max_connections: int | None = None
    addresses: frozenset[str] | None = None
    owner: str = ""
    """In whose name it has its exclusive ranges, in words: its own, or that of all whom a rule of the file selects."""
    problems: tuple[str, ...] = ()
    """Why it gets nothing new."""


_NOTHING_SAID = Policy()


@dataclass(frozen=True, slots=True)
class PolicyTouched:
    """What may be decided otherwise after policies changed."""

    namespaces: frozenset[str] = frozenset()
    ranges: tuple[tuple[int, int], ...] = ()
    """First and last of ports, whoever claims them."""
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.namespaces or self.ranges or self.everything)


@dataclass(frozen=True, slots=True)
class PolicyNews:
    """What is told of policies beside verdicts, each by namespace and sorted."""

    max_ports: Mapping[str, int]
    """Of namespaces of which that is said; all others have the router's default."""
    max_connections: Mapping[str, int]
    problems: Mapping[str, tuple[str, ...]]
    """What an admin has to mend."""
    default_max_ports: int | None = None
    limits: NamespaceLimits = ()
    """The same as ``max_connections``, as the model has them."""


NO_NEWS = PolicyNews({}, {}, {})


class Policies:
    """The policies of all namespaces, kept up to date.

    Args:
        settings: what counts where nothing is said, and whether a namespace must be known.
    """

    def __init__(self, settings: AdmissionSettings) -> None:
        self._default_ports = settings.namespace_ports
        self._default_max = settings.namespace_max_ports
        self._counts_annotations = settings.counts_namespace_annotations
        self._must_know = settings.must_know_namespaces
        self.enforces = settings.enforces_policy_on_holders
        self.gives_way = not settings.auto_at_once
        """Whether who is served here alone may have too much for what PortClaims say of others: where replicas have to agree."""
        self._file = PortPolicy()
        self._matchers: tuple[tuple[PolicyRule, Matcher], ...] = ()
        self._namespaces: dict[str, Namespace] = {}
        self._policies: dict[str, Policy] = {}
        """Of those that are known."""
        self._unknown: dict[str, Policy] = {}
        """Of others that were asked about."""
        self._exclusive = Exclusive()
        self._touched: set[str] = set()
        self._touches_everything = False
        self._max_ports: SortedMap[str, int] = SortedMap()
        self._max_connections: SortedMap[str, int] = SortedMap()
        self._problems: SortedMap[str, tuple[str, ...]] = SortedMap()
        self.version = 0
        """Another number whenever something may be let be had otherwise."""
        self._news = NO_NEWS if self._default_max is None else self._told()

    def take(self, objects: Objects, changes: Changes) -> PolicyTouched:
        """Take what changed; give what may be decided otherwise for that."""
        if changes.has_policy:
            self.put_file(objects.port_policy)
        for key in changes.namespaces:
            self.put(key.name, objects.namespaces.get(key))
        return self.take_touched()

    def put(self, name: str, namespace: Namespace | None) -> None:
        """Take a namespace as it is now; None is gone."""
        self._unknown.pop(name, None)
        if namespace is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = namespace
        self._decide(name)

    def put_file(self, file: PortPolicy | None) -> None:
        """Take what the file says now; None is no file."""
        current = file or PortPolicy()
        if current == self._file:
            return
        self._file = current
        self._matchers = tuple((rule, matcher(rule.selector)) for rule in current.rules)
        self._unknown.clear()
        self._exclusive.clear_rules()
        for rule in current.rules:
            self._exclusive.put_rule(_selected(rule), rule.exclusive)
        for name in self._namespaces:
            self._decide(name)
        self._touches_everything = True

    def take_touched(self) -> PolicyTouched:
        """Give what may be decided otherwise since this was last asked."""
        if not self._touched and not self._touches_everything:
            return PolicyTouched()
        touched = PolicyTouched(
            frozenset(self._touched), self._exclusive.take_touched(), everything=self._touches_everything
        )
        self._touched, self._touches_everything = set(), False
        self.version += 1
        self._retell(touched)
        return touched

    @property
    def news(self) -> PolicyNews:
        """What is told of policies; the same object while nothing changes."""
        return self._news

    def of(self, namespace: str) -> Policy:
        """Give what counts for a namespace."""
        known = self._policies.get(namespace) or self._unknown.get(namespace)
        if known is None:
            known = self._unknown[namespace] = self._policy(namespace, None)
        return known

    def allows(self, namespace: str, port: int) -> bool:
        """Say whether a namespace may claim a port that it does not hold, as far as it is about this port alone."""
        return not self.refusal(namespace, port)

    def refusal(self, namespace: str, port: int) -> str:
        """Say why a namespace may not claim a port, naming the ranges that it may claim; empty if it may."""
        policy = self.of(namespace)
        if problem := self.closed(namespace):
            return f"namespace {namespace} gets no new ports: {problem}"
        if reason := self._kept_out(policy, port):
            return f"port {port} is not allowed to namespace {namespace}: {reason}"
        allowed = policy.ports if policy.ports is not None else self._default_ports
        if allowed is None or port in allowed:
            return ""
        if policy.ports is None and policy.exclusive is not None:
            if port in policy.exclusive:
                return ""
            allowed = allowed | policy.exclusive
        return f"port {port} is not allowed to namespace {namespace}; allowed are {str(allowed) or 'none'}"

    def is_open(self, namespace: str) -> bool:
        """Say whether a namespace may claim any port, as it may where nothing at all is said."""
        return (
            self._policies.get(namespace, _NOTHING_SAID if not self._must_know else None) is _NOTHING_SAID
            and self._default_ports is None
            and not self._exclusive
            and not self._file.rules
            and not self._file.problem
        )

    def ranges(self, namespace: str) -> tuple[PortRanges | None, PortRanges]:
        """Give the ports that a namespace may claim, None for all, but for those that others have to themselves."""
        policy = self.of(namespace)
        if self.closed(namespace):
            return PortRanges(()), PortRanges(())
        allowed = policy.ports if policy.ports is not None else self._default_ports
        if allowed is not None and policy.ports is None and policy.exclusive is not None:
            allowed |= policy.exclusive
        return allowed, self._exclusive.to_others(policy.owner)

    def binds_holders(self, namespace: str, port: int, address: str = "") -> bool:
        """Say whether a namespace may not even keep a port that it holds; what cannot be read, or is not clear, takes nothing away."""
        if not self.enforces or self.closed(namespace):
            return False
        allowed = self.addresses_allowed(namespace)
        if address and allowed is not None and address not in allowed:
            return True
        found = self._exclusive.at(port)
        is_clear = found is None or len(found.owners) == 1
        return is_clear and bool(self.refusal(namespace, port))

    def closed(self, namespace: str) -> str:
        """Say why a namespace gets nothing new, whatever it asks for; empty if it does."""
        return self._file.problem or "; ".join(self.of(namespace).problems)

    def max_ports(self, namespace: str) -> int | None:
        """Give how many ports a namespace may hold; None is any number."""
        said = self.of(namespace).max_ports
        return said if said is not None else self._default_max

    def addresses_allowed(self, namespace: str) -> frozenset[str] | None:
        """Give the names of the addresses that a namespace may use; None where nothing is said of it."""
        return self.of(namespace).addresses

    def _kept_out(self, policy: Policy, port: int) -> str:
        found = self._exclusive.at(port)
        if found is None or found.owners == (policy.owner,):
            return ""
        if len(found.owners) > 1:
            return f"it is exclusive to {' and to '.join(found.owners)}, so that nobody gets it anew"
        return f"{self._exclusive.range_of(found.owners[0], port)} is exclusive to {found.owners[0]}"

    def _decide(self, name: str) -> None:
        """Find out anew what counts for a namespace that is, or was, known."""
        former, namespace = self._policies.pop(name, None), self._namespaces.get(name)
        current = self._policy(name, namespace) if namespace is not None else None
        if current is not None:
            self._policies[name] = current
        if former == current:
            return
        own = current.exclusive if current is not None and current.owner == _named(name) else None
        self._exclusive.put(_named(name), own)
        self._touched.add(name)

    def _policy(self, name: str, namespace: Namespace | None) -> Policy:
        metadata = namespace.metadata if namespace is not None else None
        if namespace is None and self._must_know:
            return Policy(problems=(_UNKNOWN,))
        labels = {_NAME_LABEL: name, **((metadata.labels or {}) if metadata is not None else {})}
        annotations = (metadata.annotations or {}) if metadata is not None else {}
        counts = self._counts_annotations and self._file.counts_annotations
        strange = read_strange(annotations) if counts else ()
        if not self._matchers and not strange and not (counts and annotations.keys() & KEYS.keys()):
            return _NOTHING_SAID
        rules = [rule for rule, is_selected in self._matchers if is_selected(labels)]
        by_file = {field: _first(rules, field) for field in _FIELDS}
        # What the file says instead of an annotation, that annotation cannot get wrong.
        said = {key: annotations[key] for key, field in KEYS.items() if key in annotations and by_file[field] is None}
        own, problems = read_rule(said if counts else {}, "")
        problems += strange
        values = {field: value if value is not None else getattr(own, field) for field, value in by_file.items()}
        shares = next((_selected(rule) for rule in rules if rule.exclusive is not None), "")
        return Policy(**values, owner=shares or (_named(name) if own.exclusive is not None else ""), problems=problems)

    def _retell(self, touched: PolicyTouched) -> None:
        """Bring what is told up to date."""
        overlapping = self._exclusive.overlaps()
        names = {*touched.namespaces, *(self._policies if touched.everything or touched.ranges else ())}
        for name in names:
            policy = self._policies.get(name, _NOTHING_SAID)
            problems = (*policy.problems, *overlapping.get(policy.owner, ()))
            self._max_ports.put(name, policy.max_ports)
            self._max_connections.put(name, policy.max_connections)
            if (problems or None) != self._problems.get(name):
                self._problems.put(name, problems or None)
        told = self._told()
        if told != self._news:
            self._news = told

    def _told(self) -> PolicyNews:
        limits = self._max_connections.mapping()
        return PolicyNews(
            self._max_ports.mapping(), limits, self._problems.mapping(), self._default_max, tuple(limits.items())
        )


def _first(rules: Iterable[PolicyRule], field: str) -> Any:  # noqa: ANN401 - of whichever type the field has
    return next((value for rule in rules if (value := getattr(rule, field)) is not None), None)


def _named(namespace: str) -> str:
    return f"namespace {namespace}"


def _selected(rule: PolicyRule) -> str:
    return f"namespaces with {rule.selector}" if rule.selector else "all namespaces"
