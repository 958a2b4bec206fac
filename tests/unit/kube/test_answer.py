"""A list taken apart while it arrives is the list, in whatever form and pieces it comes; and what is not all of one is no list."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.kube import answer
from router.kube.answer import Answer

_MANAGED = [{"apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}, "manager": "helm"}] * 2
_FORMS = ("typed", "unstructured", "built in", "spaced", "named last")


def _object(number: int, text: str, form: str) -> dict[str, Any]:
    metadata = {"name": f"r{number}", "namespace": "team", "annotations": {"a": text}, "managedFields": _MANAGED}
    named = {"apiVersion": "route.openshift.io/v1", "kind": "Route"}
    match form:
        case "built in":
            return {"metadata": metadata, "spec": {"ports": [{"metadata": {}}, {"metadata": {"name": "no object"}}]}}
        case "named last":
            return {"metadata": metadata, **named}
        case _:
            return {**named, "metadata": metadata, "spec": {"list": [named, named]}}


def _list(count: int, text: str, form: str) -> tuple[bytes, list[Any]]:
    objects = [_object(number, text, form) for number in range(count)]
    said = {"metadata": {"resourceVersion": "7"}}
    named = {"kind": "RouteList", "apiVersion": "route.openshift.io/v1"}
    whole: dict[str, Any] = (
        {"apiVersion": "x/v1", "items": objects, "kind": "RouteList", **said}
        if form == "unstructured"
        else {**named, **said, "items": objects}
    )
    separators = None if form == "spaced" else (",", ":")
    return json.dumps(whole, separators=separators).encode() + b"\n", objects


def _read(body: bytes, piece: int) -> tuple[list[Any], str, int]:
    taken, parts = [], 0
    arriving = Answer()
    for start in range(0, len(body), piece):
        items = arriving.take(body[start : start + piece])
        parts += bool(items)
        taken += [json.loads(bytes(item)) for item in items]
    items, said = arriving.end()
    return taken + [json.loads(bytes(item)) for item in items], said.resource_version, parts


@pytest.mark.parametrize("form", _FORMS)
@given(
    count=st.integers(0, 30),
    text=st.sampled_from(["", '},{"apiVersion":"route.openshift.io/v1","kind":', '"}],[{', "\\", '"items":[', "ü"]),
    piece=st.integers(1, 3_000),
    enough=st.integers(1, 2_000),
)
def test_the_parts_are_the_list(form: str, count: int, text: str, piece: int, enough: int) -> None:
    """Whatever texts objects have, however they begin, and wherever the network cuts: each comes once, in order, with the list's version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer, "_PART_BYTES", enough)
        body, objects = _list(count, text, form)
        assert _read(body, piece)[:2] == (objects, "7")


@pytest.mark.parametrize("form", ["typed", "unstructured", "built in", "named last"])
def test_nobody_has_the_whole(form: str) -> None:
    """As API servers write lists, objects are given while others are still to come: no more than a part is kept."""
    body, objects = _list(3_000, "x" * 500, form)
    taken, _, parts = _read(body, 1 << 16)
    assert len(taken) == len(objects)
    assert parts >= len(body) // (answer._PART_BYTES * 2)  # noqa: SLF001 - its bound


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("less", [3, 40, 2_000, 400_000])
def test_what_was_cut_is_no_list(form: str, less: int) -> None:
    """Nothing of it is taken for all that there is."""
    body, _ = _list(3_000, "x" * 100, form)
    with pytest.raises(msgspec.DecodeError):
        _read(body[:-less], 1 << 16)


@pytest.mark.parametrize("body", [b"", b"[]", b"ok", b'{"items":[{"metadata":{}},7]'])
def test_what_is_no_list_is_told(body: bytes) -> None:
    """As where somebody on the way answers."""
    with pytest.raises(msgspec.DecodeError):
        _read(body, 10)


@pytest.mark.parametrize(
    "body", [b'{"metadata":{"resourceVersion":"7"},"items":null}', b'{"metadata":{"resourceVersion":"7"}}']
)
def test_a_list_may_have_no_objects(body: bytes) -> None:
    """Servers write null for none."""
    assert _read(body, 10)[:2] == ([], "7")
