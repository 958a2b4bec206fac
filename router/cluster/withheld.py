"""A kind whose objects keep somebody out, and which may not be read: what it says of whom is not known, so nobody is let in.

An API server answers 403 also for a kind that it has not, to who has no right to it. So it is asked what it has: of a kind that is not there
nobody can have made an object. Where it does not say, the kind counts as there.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from router.cluster.kinds import Resource
from router.cluster.namespaces import UnlessDenied
from router.cluster.reflector import WatchObserver
from router.errors import ApiError, ApiNotFound
from router.kube.api import Api
from router.objects.meta import Fields, ObjectKey
from router.objects.store import Store
from router.objects.unread import Unread
from router.shapes import reader

log = structlog.get_logger()

_ABSENT = "absent"
_DENIED = frozenset({"forbidden", "refused", _ABSENT})


class _Named(Fields, frozen=True):
    name: str


class _Resources(Fields, frozen=True):
    """meta/v1 APIResourceList."""

    resources: tuple[_Named, ...] = ()


_read: Callable[[bytes], _Resources] = reader(_Resources)


class UnlessWithheld:
    """An observer that goes on without a list that the API server does not give, and says in the store what is not known for that.

    What is said is taken back by who brings the list (``taken_back``). Once there was a list, the last known objects hold.

    Args:
        observer: is told all the same.
        api: is asked what it has.
        resource: the kind.
        namespace: of the watch; empty is over all.
        store: is told.
        is_listed: says whether there was a list ever.
        do_without: called at each such answer before that.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - of what, and whom it tells
        self,
        observer: WatchObserver,
        api: Api,
        resource: Resource,
        namespace: str,
        store: Store,
        is_listed: Callable[[], bool],
        do_without: Callable[[], None],
    ) -> None:
        self._observer = observer
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self._store = store
        self._is_listed = is_listed
        self._do_without = do_without
        self._is_said = False

    @property
    def consequence(self) -> str:
        """What it comes to that the API server has the kind, and never let it be read; empty where that is not so. Any thread."""
        return self._resource.withheld if self._is_said and not self._is_listed() else ""

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count; and if there never was a list, go on without, closed or not."""
        self._observer.watch_restarted(kind, cause)
        if cause not in _DENIED or self._is_listed():
            return
        is_withheld = cause != _ABSENT and self._is_there()
        if is_withheld and not self._is_said:
            log.error("kind withheld", kind=self._resource.name, in_namespace=self._namespace or "all", consequence=self._resource.withheld)  # fmt: skip
        self._is_said = is_withheld
        if is_withheld:
            self._store.put(Unread.of(self._resource.name, self._namespace, self._resource.withheld))
        else:
            taken_back(self._store, self._resource, self._namespace)
        self._do_without()

    def _is_there(self) -> bool:
        try:
            known = _read(self._api.get(self._resource.root))
        except ApiNotFound:
            return False
        except (ApiError, msgspec.DecodeError):
            return True
        return any(each.name == self._resource.name for each in known.resources)


class WithheldKinds:
    """What observes the watches over kinds that nothing waits for, and knows which of these are withheld.

    Args:
        observer: is told all the same.
        api: is asked what it has.
        store: is told what is not known.
    """

    def __init__(self, observer: WatchObserver, api: Api, store: Store) -> None:
        self._observer = observer
        self._api = api
        self._store = store
        self._of_sources: dict[str, UnlessWithheld] = {}

    def observer(
        self,
        resource: Resource,
        namespace: str,
        source: str,
        is_listed: Callable[[], bool],
        do_without: Callable[[], None],
    ) -> WatchObserver:
        """Make the observer of one watch (its name is ``source``), which goes on without a list that the API server does not give."""
        if not resource.withheld:
            return UnlessDenied(self._observer, is_listed, do_without)
        made = UnlessWithheld(self._observer, self._api, resource, namespace, self._store, is_listed, do_without)
        self._of_sources[source] = made
        return made

    def said_of(self, source: str) -> str:
        """Give what it comes to that a kind is withheld, by the name of its watch; empty where it is not."""
        observer = self._of_sources.get(source)
        return observer.consequence if observer is not None else ""


def taken_back(store: Store, resource: Resource, namespace: str) -> None:
    """Say that a kind is known: its objects are in the store, or there are none."""
    store.delete(Unread, ObjectKey(namespace, resource.name))
