"""Who may do what: bearer tokens, and role-based access control (kubernetes/plugin/pkg/auth/authorizer/rbac)."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tests.support.kube.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Target
from tests.support.kube.statuses import StatusError
from tests.support.kube.storage import Storage

Rule = Mapping[str, list[str]]

_SERVICE_ACCOUNT = "system:serviceaccount:"


class Grant(NamedTuple):
    """One rule of a role, as it is bound: in a namespace, or (empty) in all."""

    namespace: str
    rule: Rule

    def allows(self, verb: str, target: Target) -> bool:
        """Whether the rule covers a request (kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go)."""
        resource = f"{target.resource.plural}/{target.subresource}" if target.subresource else target.resource.plural
        names = self.rule.get("resourceNames")
        return (
            self.namespace in {"", target.namespace}
            and bool({verb, "*"} & set(self.rule.get("verbs", ())))
            and bool({target.resource.group, "*"} & set(self.rule.get("apiGroups", ())))
            and bool({resource, "*"} & set(self.rule.get("resources", ())))
            and (not names or target.name in names)
        )


class Access:
    """The tokens of one server, and what their bearers may do.

    Service accounts may do what the roles in the storage say that are bound to them. Other tokens may do what was granted
    to them, or everything, where nothing was.
    """

    def __init__(self, storage: Storage) -> None:
        self.tokens: set[str] = set()
        self._storage = storage
        self._lock = threading.Lock()
        self._grants: dict[str, list[Grant]] = {}
        self._accounts: dict[str, str] = {}

    def grant(self, token: str, rules: Iterable[Rule], namespace: str = "") -> None:
        """Accept a token, and let it do what the rules of a role say."""
        with self._lock:
            self.tokens.add(token)
            self._grants.setdefault(token, []).extend(Grant(namespace, rule) for rule in rules)

    def issue(self, namespace: str, name: str) -> str:
        """Give a new token of a service account."""
        token = secrets.token_hex(16)
        with self._lock:
            self.tokens.add(token)
            self._accounts[token] = f"{_SERVICE_ACCOUNT}{namespace}:{name}"
        return token

    def accepts(self, token: str) -> bool:
        """Whether the token is known; where none is, everybody is let in."""
        return not self.tokens or token in self.tokens

    def user(self, token: str) -> str:
        """Give the name of a token's bearer, as messages have it."""
        return self._accounts.get(token, f"{_SERVICE_ACCOUNT}openshift-ingress:tcp-router")

    def may(self, token: str, verb: str, target: Target) -> bool:
        """Whether the bearer of a token may do this."""
        grants: Iterable[Grant] | None = self._grants.get(token)
        if token in self._accounts:
            grants = self._bound(self._accounts[token])
        return grants is None or any(grant.allows(verb, target) for grant in grants)

    def user_may(self, user: str, verb: str, target: Target) -> bool:
        """Whether somebody may do this, by the roles that are bound to him."""
        return any(grant.allows(verb, target) for grant in self._bound(user))

    def _bound(self, user: str) -> Iterator[Grant]:
        for kind in (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
            for binding in self._storage.list(kind):
                if any(_names(subject, user) for subject in binding.obj.get("subjects") or ()):
                    where = binding.obj["metadata"].get("namespace", "")
                    yield from (Grant(where, rule) for rule in self._rules(where, binding.obj["roleRef"]))

    def _rules(self, namespace: str, reference: Mapping[str, str]) -> list[Rule]:
        kind = {"ClusterRole": CLUSTER_ROLES, "Role": ROLES}[reference["kind"]]
        try:
            role = self._storage.get(kind, namespace if kind.namespaced else "", reference["name"])
        except StatusError:
            return []
        rules: list[Rule] = role.obj.get("rules") or []
        return rules


def _names(subject: Mapping[str, Any], user: str) -> bool:
    return subject["kind"] == "ServiceAccount" and user == f"{_SERVICE_ACCOUNT}{subject['namespace']}:{subject['name']}"
