"""Lists that the API server is asked for before there is anybody to take them: while it makes its answers, the rest of the router is imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager

from router.errors import ApiError
from router.kube.api import Query, StoppableApi
from router.supervisor import SUPERVISOR, Pool, Supervisor

_SILENCE_S = 10.0
_NOTHING: Query = {}


def paths(claims: str, *, slices: bool) -> tuple[str, ...]:
    """Give the collections that a router reads whole which follows all namespaces.

    They are those of ``cluster.kinds``, which is not imported yet where this is needed.

    Args:
        claims: the namespace of PortClaims; empty for none.
        slices: whether endpoints are read from EndpointSlices.
    """
    of_claims = (f"/apis/tcp-router.openshift.io/v1alpha1/namespaces/{claims}/portclaims",) if claims else ()
    endpoints = "/apis/discovery.k8s.io/v1/endpointslices" if slices else "/api/v1/endpoints"
    return ("/apis/route.openshift.io/v1/routes", "/api/v1/services", endpoints, *of_claims)


class Ahead:
    """An API server that was asked for some lists already; each such answer is for who asks first, and all else is asked for as ever.

    Args:
        api: the API server.
        asked: the paths of the lists.
        supervisor: owns the threads that ask.
    """

    def __init__(self, api: StoppableApi, asked: Iterable[str], supervisor: Supervisor = SUPERVISOR) -> None:
        self._api = api
        self.get, self.patch, self.post, self.put, self.watch = api.get, api.patch, api.post, api.put, api.watch
        wanted = tuple(asked)
        self._pool = Pool("lists ahead", len(wanted), supervisor=supervisor)
        self._answers: dict[str, Future[tuple[ExitStack, Iterator[bytes]]]] = {
            path: self._pool.submit(self._ask, path) for path in wanted
        }

    @contextmanager
    def answer(self, path: str, query: Query, silence_s: float) -> Iterator[Iterator[bytes]]:
        """GET a path; give the body piece by piece as it comes."""
        begun = self._answers.pop(path, None) if query == _NOTHING else None
        try:
            stack, pieces = begun.result() if begun is not None else (None, None)
        except ApiError:
            # It was early. Whoever asks now has pauses, and words for it.
            stack, pieces = None, None
        if not self._answers:
            self._pool.shutdown(wait=False)
        if stack is None or pieces is None:
            with self._api.answer(path, query, silence_s) as pieces:
                yield pieces
            return
        with stack:
            yield pieces

    def close(self) -> None:
        """End the calls that are under way."""
        self._answers.clear()
        self._pool.shutdown(wait=False)
        self._api.close()

    def _ask(self, path: str) -> tuple[ExitStack, Iterator[bytes]]:
        stack = ExitStack()
        return stack, stack.enter_context(self._api.answer(path, _NOTHING, _SILENCE_S))
