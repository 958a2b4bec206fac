"""Who may read the metrics and the table of ports: whoever the API server says, as with OpenShift's router.

The bearer token of a request is given to a TokenReview, which says whose it is, and he to a SubjectAccessReview: may he
``get`` ``routers/metrics`` of the group ``route.openshift.io``? (openshift/router, pkg/router/metrics/metrics.go, and
pkg/cmd/infra/router/template.go.) Without an answer nobody is let through.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog

from router.errors import ApiError
from router.kube.api import Api
from router.kube.reviews import TOKEN_REVIEWS, is_allowed, reviewed
from router.observe.http import Guard, Page, Request

log = structlog.get_logger()

_REMEMBERED_S = 10.0
"""As long as OpenShift's router remembers either answer."""
_REMEMBERED = 1024
_REVIEWS_AT_A_TIME = 4
_WAIT_FOR_TURN_S = 5.0
_LONGEST_TOKEN = 16_384


class _Answer(NamedTuple):
    given_s: float
    refusal: Page | None


class MetricsAccess:
    """Lets through who may read the metrics, and what else is not for everybody; a ``Guard``, from any thread.

    Args:
        api: the API server.
        router_name: the name that is asked about, for rules that have ``resourceNames``.
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, api: Api, router_name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._router_name = router_name
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, _Answer] = OrderedDict()
        self._turns = threading.BoundedSemaphore(_REVIEWS_AT_A_TIME)

    def __call__(self, request: Request) -> Page | None:
        """Give how to refuse a request: 401 without a good token, 403 without the right, 503 where nobody can tell."""
        scheme, _, token = request.authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
            return _page(HTTPStatus.UNAUTHORIZED, "a bearer token is needed")
        # What is kept shows nobody a token.
        key = hashlib.sha256(token.encode()).digest()
        with self._lock:
            answer = self._known.get(key)
        if answer is not None and self._clock() - answer.given_s < _REMEMBERED_S:
            return answer.refusal
        try:
            refusal = self._review(token)
        except (ApiError, _Unclear) as error:
            log.warning("access cannot be reviewed", problem=str(error))
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, "the API server does not say whether you may read this")
        with self._lock:
            self._known[key] = _Answer(self._clock(), refusal)
            self._known.move_to_end(key)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return refusal

    def _review(self, token: str) -> Page | None:
        if not self._turns.acquire(timeout=_WAIT_FOR_TURN_S):
            raise _Unclear("too many reviews at a time")
        try:
            user = self._user(token)
            if user is None:
                return _page(HTTPStatus.UNAUTHORIZED, "the token is not accepted")
            if not self._may_read(user):
                name = str(user.get("username", ""))
                return _page(HTTPStatus.FORBIDDEN, f"{name!r} may not get routers/metrics in route.openshift.io")
            return None
        finally:
            self._turns.release()

    def _user(self, token: str) -> Mapping[str, Any] | None:
        review = reviewed(self._api, TOKEN_REVIEWS, "authentication.k8s.io/v1", "TokenReview", {"token": token})
        if review.get("authenticated") is not True:
            return None
        user = review.get("user")
        if not isinstance(user, dict) or not isinstance(user.get("username"), str):
            raise _Unclear("a TokenReview was answered without a user")
        return user

    def _may_read(self, user: Mapping[str, Any]) -> bool:
        about = {
            "group": "route.openshift.io",
            "resource": "routers",
            "subresource": "metrics",
            "name": self._router_name,
            "verb": "get",
        }
        who = {"user": user["username"], **{key: user[key] for key in ("uid", "groups", "extra") if user.get(key)}}
        return is_allowed(self._api, who, about)


class _Unclear(Exception):
    """The API server gave no answer that says yes or no."""


def needs_tls(guard: Guard | None = None, *, but_locally: bool = False) -> Guard:
    """Give a guard that refuses plain HTTP, and asks another about the rest.

    Args:
        guard: the other.
        but_locally: let plain HTTP through that came over loopback, where nobody reads along: that of ``tcp-router ports``, who has
            no way to know the certificate's CA, by a port-forward too.
    """

    def judge(request: Request) -> Page | None:
        if not request.is_tls and not (but_locally and request.is_local):
            return _page(HTTPStatus.FORBIDDEN, "this is given by https only, on this same port")
        return guard(request) if guard is not None else None

    return judge


def local_only(request: Request) -> Page | None:
    """Refuse, as a guard, who does not come from this machine or pod; a port-forward does."""
    return (
        None
        if request.is_local
        else _page(HTTPStatus.FORBIDDEN, "this is given to this machine or pod alone, as by a port-forward")
    )


def _page(status: HTTPStatus, text: str) -> Page:
    return Page(f"{text}\n".encode(), status=status)
