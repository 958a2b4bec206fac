"""Secrets in manifests: certificates for Routes beside them, and nothing of them in what is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from router.manifests.parse import FileContent, merge, parse
from router.objects.credential import Credential, Lack
from router.objects.secret import MAX_TEXT
from tests.support.certificates import make
from tests.support.objects import tls_secret

_MADE = make("db.example.com")
_SECRET = tls_secret("db-tls", _MADE.pem, _MADE.key)


def _parsed(*documents: Any) -> FileContent:
    return parse("folder/secrets.yaml", yaml.safe_dump_all(documents).encode())


def _one(document: Any) -> Credential:
    content = _parsed(document)
    assert content.problems == ()
    (manifest,) = content.manifests
    assert isinstance(manifest.obj, Credential)
    return manifest.obj


def test_data_and_plain_text() -> None:
    """Base64, with line ends as kubectl folds them, or stringData, which goes first as with an API server."""
    assert (_one(_SECRET).certificate, _one(_SECRET).key_pem) == (_MADE.pem, _MADE.key)
    folded = {**_SECRET, "data": {key: "\n".join((text[:40], text[40:])) for key, text in _SECRET["data"].items()}}
    assert _one(folded) == _one(_SECRET)
    plain = {**_SECRET, "stringData": {"tls.crt": "other"}}
    assert (_one(plain).certificate, _one(plain).key_pem) == ("other", _MADE.key)
    assert _one({**_SECRET, "immutable": True, "metadata": {"name": "db-tls"}}).key == ("default", "db-tls")
    content = parse("x.json", json.dumps({"kind": "List", "apiVersion": "v1", "items": [_SECRET]}).encode())
    assert len(content.manifests) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "Opaque"}, "its type is not kubernetes.io/tls"),
        ({"type": None}, "its type is not kubernetes.io/tls"),
        ({"data": None}, "it has no tls.crt"),
        ({"data": {"tls.crt": "eA=="}}, "it has no tls.key"),
        ({"data": {"tls.crt": "eA==", "tls.key": None}}, "it has no tls.key"),
        ({"data": {"tls.crt": "hunter2!", "tls.key": "eA=="}}, "its data tls.crt is no Base64"),
        ({"data": {"tls.crt": "\xe9\xe9", "tls.key": "eA=="}}, "its data tls.crt is no Base64"),
    ],
)
def test_what_cannot_be_used_is_there_and_lacks(change: dict[str, Any], said: str) -> None:
    """The Route that names it is told; of its content nothing is kept."""
    found = _one({**_SECRET, **change})
    assert (found.lack, found.problem) == (Lack.UNREADABLE, said)
    assert (found.certificate, found.key_pem) == ("", "")


def test_what_is_no_text_is_read_all_the_same() -> None:
    """Whatever stands between PEM blocks says nothing; of a megabyte no more is kept than shows that it is too much."""
    assert "\ufffd" in _one(tls_secret("x", "\xe9\x00", "key")).certificate
    assert len(_one(tls_secret("x", "x" * 1_000_000, "key")).certificate) == MAX_TEXT


_HOSTILE: dict[str, Any] = {
    "text for a mapping": {"data": _MADE.key},
    "a list": {"data": [_MADE.key]},
    "numbers": {"data": {"tls.key": 4096, _MADE.key: _MADE.key}},
    "a mapping for text": {"stringData": {"tls.key": {"x": _MADE.key}}},
    "a list for text": {"stringData": {"tls.key": [_MADE.key]}},
    "a type that is none": {"type": [_MADE.key]},
}


@pytest.mark.parametrize("change", _HOSTILE.values(), ids=_HOSTILE)
def test_nothing_of_a_key_is_in_a_problem(change: dict[str, Any]) -> None:
    """A Secret that was written wrongly is told by its place, and its content by nothing."""
    content = _parsed({**_SECRET, **change})
    (problem,) = content.problems
    assert str(problem).startswith("folder/secrets.yaml:")
    assert "Secret team/db-tls: " in str(problem)
    assert "has not the form of a Secret's" in str(problem)
    for line in _MADE.key.splitlines():
        assert line not in str(problem)


@pytest.mark.parametrize("indent", ["", "  ", "\t"])
@pytest.mark.parametrize("before", ["tls.key: ", "tls.key: |\n", "", "tls.key: 'x\n", "- ", "? "])
def test_yaml_that_is_none_shows_no_key(indent: str, before: str) -> None:
    """A key that was pasted into YAML as it is, is a problem of the file as a rule, and is not in it."""
    key = "".join(f"{indent}{line}\n" for line in _MADE.key.splitlines())
    text = f"apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: x}}\nstringData:\n  {before}{key}"
    content = parse("x.yaml", text.encode())
    for problem in content.problems:
        assert not [line for line in _MADE.key.splitlines()[1:-1] if line[:20] in str(problem)], problem


def test_the_second_of_a_name_is_told() -> None:
    """By the word that the file has for it."""
    merged = merge([_parsed(_SECRET), _parsed(_SECRET)])
    (problem,) = merged.problems
    assert "Secret team/db-tls is in folder/secrets.yaml:1 already" in str(problem)
