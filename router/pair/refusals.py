"""Writes that were refused, and when each is tried again; and those that change nothing, and are not."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import structlog

from router.pair.model import Problem, Target, Write
from router.supervisor.backoff import Backoff

log = structlog.get_logger()

_PAUSES_S = (2.0, 60.0)
"""First and longest pause after a write that was refused."""
_CONFLICT_S = 0.5
_NUMBERS = re.compile(r"[0-9]+")


@dataclass(slots=True)
class _Refusal:
    problem: Problem
    """With an empty reason nothing is told of it."""
    due_s: float
    pauses: Backoff
    version: str
    """Of the object that was to be written."""


class Refusals:
    """Remembers them, by the namespace of the claim for which was written; one thread, but for ``told``."""

    def __init__(self) -> None:
        self._by_target: dict[Target, _Refusal] = {}
        self._of_namespace: dict[str, set[Target]] = {}
        self._no_effect: dict[Target, tuple[str, str]] = {}
        """What a patch that changed nothing says, and of which version."""

    @property
    def told(self) -> int:
        """How many there are of which something is told; any thread."""
        return sum(bool(each.problem.reason) for each in list(self._by_target.values()))

    def problems(self, namespace: str, now_s: float) -> Mapping[Target, Problem]:
        """Give why writes of a namespace failed that are not tried at this moment."""
        found = {target: self._by_target[target] for target in self._of_namespace.get(namespace, ())}
        return {target: each.problem for target, each in found.items() if each.problem.reason and each.due_s > now_s}

    def due(self, now_s: float) -> Iterator[str]:
        """Give the namespaces in which something is to be tried again."""
        for namespace, targets in self._of_namespace.items():
            if any(self._by_target[each].due_s <= now_s for each in targets):
                yield namespace

    def holds_back(self, write: Write, now_s: float) -> bool:
        """Say whether a write is not to be made now."""
        refusal = self._by_target.get(write.target)
        if refusal is not None and refusal.due_s > now_s:
            # What somebody else wrote first is there by now, if the version is another.
            return bool(refusal.problem.reason) or refusal.version == write.version
        return write.verb != "delete" and self._no_effect.get(write.target) == (repr(write.body), write.version)

    def refuse(self, namespace: str, cluster: str, write: Write, problem: Problem, now_s: float) -> None:
        """Take note of a write that was refused, in a cluster of this name."""
        target = write.target
        known = self._by_target.get(target)
        self._of_namespace.setdefault(namespace, set()).add(target)
        if not problem.reason:
            self._by_target[target] = _Refusal(problem, now_s + _CONFLICT_S, Backoff(*_PAUSES_S), write.version)
            return
        pauses = known.pauses if known is not None and known.problem.reason else Backoff(*_PAUSES_S)
        if known is not None and _NUMBERS.sub("", known.problem.message) == _NUMBERS.sub("", problem.message):
            # How much of a quota is used is no news.
            problem = known.problem
        else:
            log.warning(
                "refused", cluster=cluster, resource=target.resource, namespace=target.namespace, name=target.name,
                problem=problem.message,
            )  # fmt: skip
        self._by_target[target] = _Refusal(problem, now_s + pauses.pause_s(), pauses, write.version)

    def done(self, namespace: str, write: Write, *, has_effect: bool) -> None:
        """Take note of a write that was made."""
        self._forget(namespace, write.target)
        if not has_effect:
            self._no_effect[write.target] = repr(write.body), write.version

    def keep(self, namespace: str, targets: Collection[Target]) -> None:
        """Forget what is about other objects of a namespace: nobody wants to write those any more."""
        for target in self._of_namespace.get(namespace, set()).difference(targets):
            self._forget(namespace, target)

    def clear(self) -> None:
        """Forget all."""
        self._by_target.clear()
        self._of_namespace.clear()
        self._no_effect.clear()

    def _forget(self, namespace: str, target: Target) -> None:
        self._by_target.pop(target, None)
        self._no_effect.pop(target, None)
        members = self._of_namespace.get(namespace)
        if members is not None:
            members.discard(target)
            if not members:
                del self._of_namespace[namespace]
