"""Manifests: the Kubernetes objects that stand in files.

Nothing is watched or remembered here; ``router.manifests.follow`` does that. What cannot be used is not raised but returned as
problems, beside what can, so that one bad object costs only itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from router.errors import ManifestError
from router.manifests.files import find, read_bytes
from router.manifests.json_documents import is_json, read_json
from router.manifests.text import Document, Mark, Marks, read_yaml, utf_8
from router.objects.config_map import ConfigMap, config_map_key, config_map_name, credential_of
from router.objects.credential import SECRET_KIND, Credential
from router.objects.decoding import API_VERSIONS, FieldPath, Misfit, closed_policy, decode, kind_of, shown
from router.objects.gateway import GatewayClass
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey
from router.objects.namespace import Namespace
from router.objects.portclaim import PortClaim

"""What an object is known by: its kind and key."""

_KIND_NAMES: Mapping[type, str] = {Credential: SECRET_KIND}
_LISTS = {"List": None, **{f"{kind}List": kind for kind in API_VERSIONS}}
"""Kinds that hold others in ``items``, and the kind of an item that does not tell."""
_OF_TEMPLATES = ("v1", "template.openshift.io")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MAX_LABEL = 63
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_MAX_SUBDOMAIN = 253


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object and where it stands: ``line`` is the first of its document, ``document`` counts from 1 in its file."""

    obj: KubernetesObject
    slot: Slot
    path: str
    line: int
    document: int


@dataclass(frozen=True, slots=True)
class FileContent:
    """What stands in one file."""

    manifests: tuple[Manifest, ...] = ()
    problems: tuple[ManifestError, ...] = ()
    refused: frozenset[Slot] = frozenset()
    """Objects that are in the file, but cannot be used."""
    is_readable: bool = True
    """False where the file told nothing: it could not be opened, or is neither YAML nor JSON."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What stands in several files: the objects that count, sorted by path and place, and what could not be used."""

    manifests: tuple[Manifest, ...]
    problems: tuple[ManifestError, ...]

    @property
    def objects(self) -> tuple[KubernetesObject, ...]:
        """The objects alone."""
        return tuple(manifest.obj for manifest in self.manifests)


def load(paths: Iterable[Path], texts: Mapping[str, bytes] | None = None) -> Loaded:
    """Read manifests once, for commands that look at them and end.

    Args:
        paths: files, whatever their names, and directories, of which the manifests are read.
        texts: what was read already, and what to call it in problems.
    """
    files: dict[str, str] = {}
    problems: list[ManifestError] = []
    for path in paths:
        if path.is_dir():
            found = find(path)
            problems.extend(found.problems)
            names: Iterable[str] = found.files
        else:
            names = (str(path),)
        for name in names:
            files.setdefault(os.path.abspath(name), name)  # noqa: PTH100 - thousands of names, looked at as text
    contents = [parse(name, text) for name, text in (texts or {}).items()]
    merged = merge(chain(contents, (read(name) for name in sorted(files.values()))))
    return Loaded(merged.manifests, (*problems, *merged.problems))


def read(path: str) -> FileContent:
    """Read one file; what hinders it becomes a problem of the content."""
    try:
        return parse(path, read_bytes(path))
    except ManifestError as error:
        return FileContent(problems=(error,), is_readable=False)


def parse(path: str, data: bytes) -> FileContent:
    """Find the objects in the bytes of a file.

    ``path`` is named in problems. That the text is JSON, of which values may follow each other, it says by its end; or the text by
    its beginning, where it is not YAML after all.
    """
    manifests: list[Manifest] = []
    refusals: list[_Refused] = []
    try:
        data = utf_8(path, data)
        for number, document in enumerate(_documents(path, data), 1):
            for where, value in _expanded(document.value, ()):
                obj = _object(value)
                if isinstance(obj, Misfit):
                    refusals.append(_Refused(number, document.line, where, value, obj))
                    obj = closed_policy(value, str(obj))
                if obj is not None:
                    # Here, so that nothing else of what is in it is kept.
                    kept = credential_of(obj) if isinstance(obj, ConfigMap) else obj
                    manifests.append(Manifest(kept, (type(kept), kept.key), path, document.line, number))
    except ManifestError as error:
        return FileContent(problems=(error,), is_readable=False)
    problems = _placed(path, data, refusals) if refusals else ()
    return FileContent(tuple(manifests), problems, frozenset(filter(None, (refused.slot for refused in refusals))))


def _documents(path: str, data: bytes) -> Iterable[Document]:
    if path.endswith(".json"):
        return read_json(path, data)
    if not is_json(data):
        return read_yaml(path, data)
    try:
        return list(read_json(path, data))
    except ManifestError as error:
        try:
            # A flow mapping of YAML begins in the same way.
            return list(read_yaml(path, data))
        except ManifestError as other:
            raise max(error, other, key=lambda each: each.line or 0) from None


def merge(contents: Iterable[FileContent]) -> Loaded:
    """Put the contents of files together.

    Of an object that stands in several places the first counts, in the order of ``contents`` and within a file; each other
    place is a problem that names the first.
    """
    first: dict[Slot, Manifest] = {}
    problems: list[ManifestError] = []
    for content in contents:
        problems.extend(content.problems)
        for manifest in content.manifests:
            holder = first.setdefault(manifest.slot, manifest)
            if holder is not manifest:
                kind, key = manifest.slot
                named = config_map_name(key)
                what = (
                    f"{_KIND_NAMES.get(kind, kind.__name__)} {key}"
                    if named is None
                    else f"ConfigMap {key.namespace}/{named}"
                )
                problem = f"{what} is in {holder.path}:{holder.line} already; that one counts"
                problems.append(ManifestError(manifest.path, problem, manifest.line))
    return Loaded(tuple(first.values()), tuple(problems))


@dataclass(frozen=True, slots=True)
class _Refused:
    """A value that is no usable object, and where it stands: ``where`` leads to it within its document."""

    document: int
    line: int
    where: FieldPath
    value: object
    refusal: Misfit

    @property
    def slot(self) -> Slot | None:
        """What the object would be known by, where that much can be read."""
        if not isinstance(self.value, dict) or not isinstance(self.value.get("metadata"), dict):
            return None
        kind = self.value.get("kind")
        name, namespace = (self.value["metadata"].get(key) for key in ("name", "namespace"))
        if not isinstance(kind, str) or kind not in API_VERSIONS:
            return None
        if not isinstance(name, str) or not name or not isinstance(namespace or "", str):
            return None
        struct = API_VERSIONS[kind][1]
        if struct is ConfigMap:
            return Credential, config_map_key(namespace or "default", name)
        return struct, ObjectKey("" if struct in {Namespace, GatewayClass} else namespace or "default", name)

    def problem(self, path: str, mark: Mark | None) -> ManifestError:
        """Make the problem: the refusal with the object that it concerns, at ``mark`` or, without one, at the document."""
        subject = ""
        if isinstance(self.value, dict) and isinstance(self.value.get("kind"), str):
            subject = self.value["kind"]
        if slot := self.slot:
            key = ObjectKey(slot[1].namespace, config_map_name(slot[1]) or slot[1].name)
            has_form = _is_object_name(key.namespace or key.name) and _is_object_name(key.name)
            subject = f"{subject} {key if has_form else shown(str(key))}"
        refusal = self.refusal
        if refusal.unquoted is not None and mark is not None and mark.text is not None and len(mark.text) <= _MAX_LABEL:
            refusal = replace(refusal, unquoted=mark.text)
        line, column = (mark.line, mark.column) if mark is not None else (self.line, None)
        return ManifestError(path, f"{subject}: {refusal}" if subject else str(refusal), line, column)


def _expanded(value: object, where: FieldPath) -> Iterator[tuple[FieldPath, object]]:
    """Give a value, or, where it is a list of objects, its items; each with the path to it."""
    kind = value.get("kind") if isinstance(value, dict) else None
    if isinstance(value, dict) and kind == "Template" and (unprocessed := _unprocessed(value)):
        yield where, unprocessed
        return
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in _LISTS:
        yield where, value
        return
    items = value.get("items")
    if not isinstance(items, list):
        if items is not None:
            yield where, Misfit("is no list", ("items",))
        return
    for index, item in enumerate(items):
        typed = _LISTS[kind]
        if typed is not None and isinstance(item, dict) and "kind" not in item:
            # In typed lists API servers leave out what the list says already.
            item = {"kind": typed, "apiVersion": value.get("apiVersion"), **item}  # noqa: PLW2901 - the item, completed
        yield from _expanded(item, (*where, "items", index))


def _unprocessed(template: Mapping[str, object]) -> Misfit | None:
    """Refuse a Template of OpenShift with objects of ours: there they are only when ``oc process`` has made them of it."""
    objects = template.get("objects")
    kinds = (
        [each["kind"] for each in objects if isinstance(each, dict) and "kind" in each]
        if isinstance(objects, list)
        else []
    )
    ours = [kind for kind in (*API_VERSIONS, *_LISTS) if kind in kinds]
    if not ours or str(template.get("apiVersion")).partition("/")[0] not in _OF_TEMPLATES:
        return None
    problem = f"a Template is not what it makes, here {' and '.join(ours)}; read what `oc process --local -f FILE` makes of it"
    return Misfit(problem, ("objects",))


def _object(value: object) -> KubernetesObject | Misfit | None:
    """Make the object of a value; None where it is of a kind that the router does not read."""
    if isinstance(value, Misfit):
        return value
    if not isinstance(value, dict):
        return Misfit("not an object: a mapping with apiVersion, kind and metadata was expected")
    kind = kind_of(value)
    if kind is None or isinstance(kind, Misfit):
        return kind
    obj = decode(kind, value)
    return obj if isinstance(obj, Misfit) else _misnamed(obj) or _unwritten(obj) or obj


def _misnamed(obj: KubernetesObject) -> Misfit | None:
    """Refuse names that no API server would accept, so that all that follows may rely on their form."""
    if not _is_namespace(obj.metadata.namespace):
        return Misfit("not a DNS label (a-z, 0-9 and -)", ("metadata", "namespace"))
    if not _is_object_name(obj.metadata.name):
        return Misfit("not a DNS name (a-z, 0-9, - and dots)", ("metadata", "name"))
    return None


def _unwritten(obj: KubernetesObject) -> Misfit | None:
    """Refuse what only a router writes: a folder is an admin's, whose word about ports is a reservation."""
    if isinstance(obj, PortClaim) and obj.spec.origin != "Reserved":
        return Misfit("Won is for routers that follow an API server; write Reserved", ("spec", "origin"))
    return None


def _is_namespace(text: str) -> bool:
    return len(text) <= _MAX_LABEL and _LABEL.fullmatch(text) is not None


def _is_object_name(text: str) -> bool:
    return len(text) <= _MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(text) is not None


def _placed(path: str, data: bytes, refusals: list[_Refused]) -> tuple[ManifestError, ...]:
    """Make problems of refusals, with the line and column of the field where they can be found.

    The file is read once more for it: to note the place of every value in every file would cost more.
    """
    found: dict[int, Mark | None] = {}
    indices: dict[int, list[int]] = {}
    for index, refused in enumerate(refusals):
        indices.setdefault(refused.document, []).append(index)
    marks: Marks = {}
    try:
        for number, document in enumerate(read_yaml(path, data, marks), 1):
            for index in indices.get(number, ()):
                refused = refusals[index]
                found[index] = _mark(document, marks, (*refused.where, *refused.refusal.path))
            # The ids of a document's values may come again in the next one.
            marks.clear()
    except ManifestError:
        pass  # JSON that is not quite YAML: the document's line has to do
    return tuple(refused.problem(path, found.get(index)) for index, refused in enumerate(refusals))


def _mark(document: Document, marks: Marks, path: FieldPath) -> Mark | None:
    """Give the mark of a field, or of what is nearest above it."""
    nearest = None
    value = document.value
    for step in path:
        mark = marks.get((id(value), step))
        if mark is None:
            return nearest._replace(text=None) if nearest is not None else None
        nearest = mark
        value = value[step] if isinstance(value, list) else value.get(step)  # type: ignore[attr-defined, index]
    return nearest
