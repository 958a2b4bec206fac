"""The file of ``--port-policy``: what the namespaces that a label selector selects may have. Read as a whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from router.admission.policy_values import IN_FILES, read_rule
from router.errors import ManifestError
from router.manifests.files import read_bytes
from router.manifests.text import Marks, read_yaml
from router.manifests.watching import DirectoryWatcher
from router.objects.decoding import shown
from router.objects.labels import is_selector
from router.objects.namespace import PolicyRule, PortPolicy
from router.objects.store import Store

log = structlog.get_logger()

RESCAN_S = 10.0
"""Between two looks at the file where the kernel tells of no change."""
_ANNOTATIONS, _NAMESPACES, _SELECTOR = "annotations", "namespaces", "selector"
_COUNTED = {"counted": True, "ignored": False}


class PolicyFile:
    """Reads the file into the store, and follows its changes; what cannot be used leaves what was last good.

    Args:
        path: of the file; the folder that it is in is watched, as a ConfigMap changes by a link in it.
        store: is told with each change.
    """

    SOURCE = "port-policy"
    """The name by which the store knows this input."""

    def __init__(self, path: Path, store: Store) -> None:
        self._path = path
        self._store = store
        self._watcher = DirectoryWatcher(path.parent, self.refresh, rescan_s=RESCAN_S)
        self._is_known = False
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why what the file says now does not count; empty if it does."""
        return self._problem

    def start(self) -> None:
        """Read the file, then follow it on a thread of its own."""
        self._watcher.start()
        self.refresh()

    def stop(self) -> None:
        """Follow no longer."""
        self._watcher.stop()

    def refresh(self) -> None:
        """Bring the store level with the file; any thread."""
        try:
            policy = load_policy(self._path)
        except ManifestError as error:
            self._fail(error)
        else:
            self._store.put(policy)
            self._is_known = True
            if self._problem:
                log.info("port policy recovered", path=str(self._path))
            self._problem = ""
        self._store.mark_synced(self.SOURCE)

    def _fail(self, error: ManifestError) -> None:
        if str(error) != self._problem:
            consequence = "what it said last counts" if self._is_known else "nobody may claim anything new"
            log.error("port policy not read", problem=str(error), consequence=consequence)
        self._problem = str(error)
        if not self._is_known:
            self._store.put(PortPolicy(problem=f"the file of --port-policy cannot be used: {error}"))


def load_policy(path: Path) -> PortPolicy:
    """Read the file.

    Raises:
        ManifestError: it cannot be read, or something in it cannot be used.
    """
    return parse_policy(str(path), read_bytes(str(path)))


def parse_policy(path: str, data: bytes) -> PortPolicy:
    """Read the bytes of the file; ``path`` is named in problems.

    Raises:
        ManifestError: something in it cannot be used.
    """
    marks: Marks = {}
    documents = list(read_yaml(path, data, marks))
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise ManifestError(path, f"is no single document with the keys {_NAMESPACES} and {_ANNOTATIONS}")
    top: dict[str, object] = documents[0].value

    def problem(at: object, key: str | int, text: str) -> ManifestError:
        mark = marks.get((id(at), key))
        return ManifestError(path, text, mark.line if mark else None, mark.column if mark else None)

    for key in top.keys() - {_ANNOTATIONS, _NAMESPACES}:
        raise problem(top, key, f"{shown(key)} is no key of this file; there are {_NAMESPACES} and {_ANNOTATIONS}")
    counted = top.get(_ANNOTATIONS, "counted")
    if not isinstance(counted, str) or counted not in _COUNTED:
        raise problem(top, _ANNOTATIONS, f"{_ANNOTATIONS} is {shown(counted)}; accepted is counted or ignored")
    entries = top.get(_NAMESPACES) or []
    if not isinstance(entries, list):
        raise problem(top, _NAMESPACES, f"{_NAMESPACES} is no list")
    rules = []
    for index, entry in enumerate(entries):
        rule = _rule(entry)
        if isinstance(rule, str):
            raise problem(entries, index, f"{_NAMESPACES}[{index}]: {rule}")
        rules.append(rule)
    return PortPolicy(rules=tuple(rules), counts_annotations=_COUNTED[counted])


def _rule(entry: object) -> PolicyRule | str:
    """Read an entry of the list, or say what is wrong with it."""
    if not isinstance(entry, dict):
        return "is no mapping"
    selector = entry.get(_SELECTOR)
    if not isinstance(selector, str) or not is_selector(selector):
        return f'{_SELECTOR} is {shown(selector)}; accepted is a label selector such as team=a,stage in (test, prod), or "" for all'
    said: dict[str, str] = {}
    for key, value in entry.items():
        if key == _SELECTOR:
            continue
        if key not in IN_FILES:
            return f"{shown(key)} is no key of an entry; there are {_SELECTOR}, {', '.join(IN_FILES)}"
        text = _text(value)
        if text is None:
            return f"{key} is {shown(value)}, which is neither text nor a number, nor a list of such"
        said[IN_FILES[key]] = text
    rule, problems = read_rule(said, selector, {full: key for key, full in IN_FILES.items()}.__getitem__)
    return problems[0] if problems else rule


def _text(value: object) -> str | None:
    """Give what an annotation would be: a list is its members with commas between."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        parts = [_text(each) if not isinstance(each, list | Mapping) else None for each in value]
        return ",".join(part for part in parts if part is not None) if all(part is not None for part in parts) else None
    return None
