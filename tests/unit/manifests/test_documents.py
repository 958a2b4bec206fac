"""Text to values: what YAML and JSON mean in manifests, and that hostile text costs little."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from router.errors import ManifestError
from router.manifests import text as documents
from router.manifests.json_documents import read_json
from router.manifests.text import MAX_DEPTH, Mark, Marks, read_yaml


def _yaml(text: str) -> list[object]:
    return [document.value for document in read_yaml("x.yaml", text.encode())]


def _one(text: str) -> Any:
    (value,) = _yaml(text)
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # goyaml.v2/resolve.go of sigs.k8s.io/yaml, which kubectl reads manifests with.
        ("6620", 6620),
        ("+6620", 6620),
        ("-1", -1),
        ("6_620", 6620),
        ("010", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("-0b11", -3),
        ("09", 9.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("18446744073709551615", 18446744073709551615),
        ("9" * 400, math.inf),
        ("true", True),
        ("y", True),
        ("On", True),
        ("no", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1.2.3.4", "1.2.3.4"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("5s", "5s"),
        ("-", [None]),
        ("\u0666", "\u0666"),
        ("=", "="),
        ("'6620'", "6620"),
        ('"true"', "true"),
        ("!!str 6620", "6620"),
        ("! 6620", "6620"),
        ("!!int '6620'", 6620),
        ("!!timestamp 2024-01-01", "2024-01-01"),
        ("|\n  text\n", "text\n"),
    ],
    ids=lambda value: None if isinstance(value, str) and len(value) > 30 else repr(value),
)
def test_scalars(text: str, value: object) -> None:
    """A scalar means what it means to kubectl."""
    found = _one(f"- {text}")[0]
    assert (found, type(found)) == (value, type(value))


def test_not_a_number() -> None:
    """``.nan`` is a number that is none."""
    assert math.isnan(_one("[.nan]")[0])


def test_keys_are_text_as_written() -> None:
    """Keys are the text that stands there, also where it would mean something else as a value."""
    assert _one("{on: 1, 6620: 2, 'null': 3, ~: 4}") == {"on": 1, "6620": 2, "null": 3, "~": 4}


def test_aliases_and_merge_keys() -> None:
    """Aliases repeat what they name, and ``<<`` fills in what a mapping does not say itself."""
    value = _one("base: &b {x: 1, y: two}\nmine: {y: 3, <<: *b}\nboth: {<<: [{x: 9}, *b]}\nagain: *b")
    assert value["mine"] == {"x": 1, "y": 3}
    assert value["both"] == {"x": 9, "y": "two"}
    assert value["again"] == value["base"]


def test_documents_and_their_lines() -> None:
    """Documents come with the lines that they start on; empty ones are passed over."""
    text = "# comment\n---\n\na: 1\n---\n---\n# nothing\n---\n- b\n...\n---\nc\n"
    assert [(one.value, one.line) for one in read_yaml("x.yaml", text.encode())] == [
        ({"a": 1}, 4),
        (["b"], 9),
        ("c", 12),
    ]


def test_marks() -> None:
    """Members are noted with their places and scalars as they are written."""
    marks: Marks = {}
    (document,) = read_yaml("x.yaml", b"a:\n  b: 010\n  c: [x, {d: y}]\n", marks)
    value: Any = document.value
    assert marks[id(value), "a"] == Mark(1, 1)
    assert marks[id(value["a"]), "b"] == Mark(2, 3, "010")
    assert marks[id(value["a"]["c"]), 1] == Mark(3, 10)
    assert marks[id(value["a"]["c"][1]), "d"] == Mark(3, 11, "y")


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        pytest.param("a: [1,\nb: 2\n", 3, 1, "not YAML", id="unclosed list"),
        pytest.param("a: 1\n b: 2\n", 2, 3, "not YAML", id="wrong indentation"),
        pytest.param("a: 1\nb:\n\tc: 2\n", 3, 1, "not YAML", id="tab"),
        pytest.param("a: 1\nb: 2\na: 3\n", 3, 1, 'the key "a" stands twice', id="duplicate key"),
        pytest.param("? [a]\n: 1\n", 1, 3, "a key must be text", id="list for a key"),
        pytest.param("a: *b\n", 1, 4, 'the alias "b" stands for nothing', id="unknown alias"),
        pytest.param("&a [*a]\n", 1, 5, 'the alias "a" stands for nothing', id="alias inside of what it names"),
        pytest.param("a: !secret x\n", 1, 4, "tag", id="unknown tag"),
        pytest.param("a: !!int x\n", 1, 4, "tag", id="tag that does not fit"),
        pytest.param("a: !!set {x}\n", 1, 4, "takes no tag", id="tagged mapping"),
        pytest.param("<<: 5\n", 1, 5, "<< takes a mapping", id="number merged"),
        pytest.param("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), 1, MAX_DEPTH + 1, "nested", id="too deep"),
    ],
)
def test_refused_yaml(text: str, line: int, column: int, part: str) -> None:
    """What manifests may not contain is refused with line and column."""
    with pytest.raises(ManifestError, match=r"x\.yaml:") as refused:
        _yaml(text)
    assert (refused.value.line, refused.value.column) == (line, column)
    assert part in refused.value.problem


@pytest.mark.parametrize(
    "data", [b"a: 1\nb: \xff\n", b"a: 1\nb: \x01\n", b"a: 1\nb: \x00\n"], ids=["latin-1", "control", "NUL"]
)
def test_bytes_that_are_no_text(data: bytes) -> None:
    """Bytes that are no text are refused with the place where they stand."""
    with pytest.raises(ManifestError) as refused:
        list(read_yaml("x.yaml", data))
    assert (refused.value.line, refused.value.column) == (2, 4)


def test_billion_laughs() -> None:
    """Aliases of aliases are refused before they cost time or memory, also where they are only merged."""
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 30))
    began_s = time.monotonic()
    with pytest.raises(ManifestError, match="aliases repeat"):
        _yaml(f"l0: &l0 [x]\n{levels}\n")
    assert time.monotonic() - began_s < 5


def test_deep_nesting_is_refused_at_its_start() -> None:
    """A long row of brackets is refused where it becomes too deep, not after all of it was read."""
    began_s = time.monotonic()
    # Where libyaml has a limit of its own, its scanner, which reads ahead, may be the first to say so.
    with pytest.raises(ManifestError, match=r"nested|maximum nesting depth"):
        _yaml("[" * 1_000_000)
    with pytest.raises(ManifestError, match="nested"):
        list(read_json("x.json", b"[" * 1_000_000))
    assert time.monotonic() - began_s < 5


def test_json_values_one_after_the_other() -> None:
    """A JSON file may hold several values; each has its line."""
    data = b'\xef\xbb\xbf{"a": 1}\n\n{"a": [1.5, true, null, "x"]} null\n 5 '
    found = [(one.value, one.line) for one in read_json("x.json", data)]
    assert found == [({"a": 1}, 1), ({"a": [1.5, True, None, "x"]}, 3), (5, 4)]


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        pytest.param('{"a": 1,\n"b" 2}', 2, "not JSON", id="no colon"),
        pytest.param('\n{"a": 1, "a": 2}', 2, 'the key "a" stands twice', id="duplicate key"),
        pytest.param('{"a": NaN}', 1, "NaN", id="NaN"),
        pytest.param('{"a": "\\ud800"}', 1, "surrogate", id="half a character"),
        pytest.param("{} x", 1, "not JSON", id="rest"),
    ],
)
def test_refused_json(text: str, line: int, part: str) -> None:
    """What is no JSON, or not for manifests, is refused with its line."""
    with pytest.raises(ManifestError) as refused:
        list(read_json("x.json", text.encode()))
    assert refused.value.line == line
    assert part in refused.value.problem


_MARK = "\ufeff"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{_MARK}a: 1\n---\n{_MARK}a: 2\n", id="before each document"),
        pytest.param(f"a: 1\n{_MARK}---\na: 2\n", id="before the line between them"),
        pytest.param(f"a: 1\n...\n{_MARK}{_MARK}# text\n---\na: 2\n", id="after the end of one"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_byte_order_marks(text: str, encoding: str) -> None:
    """Files that were put together on Windows have one before any document, and may be UTF-16."""
    data = (_MARK if encoding == "utf-16-be" else "").encode(encoding) + text.encode(encoding)
    assert [document.value for document in read_yaml("x.yaml", data)] == [{"a": 1}, {"a": 2}]


def test_byte_order_marks_of_json() -> None:
    """Likewise, before each value."""
    data = f'{_MARK}{{"a": 1}}{_MARK}{{"a": "{_MARK}"}}'
    assert [document.value for document in read_json("x.json", data.encode())] == [{"a": 1}, {"a": _MARK}]
    assert [document.value for document in read_json("x.json", '{"a": 1}'.encode("utf-16"))] == [{"a": 1}]


def test_a_byte_order_mark_within_a_text_is_part_of_it() -> None:
    """It stands for itself there, and a line that has one keeps its columns."""
    assert _yaml(f'a: "x{_MARK}y"\n') == [{"a": f"x{_MARK}y"}]


def test_half_a_character_of_utf_16() -> None:
    """It is refused as such."""
    with pytest.raises(ManifestError, match="not UTF-16"):
        list(read_yaml("x.yaml", b"\xff\xfea\x00:"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a:\n  b: {{ .Values.port }}\n", 2, id="value"),
        pytest.param("{{- if .Values.route }}\na: 1\n{{- end }}\n", 1, id="condition"),
        pytest.param("a:\n  {{ toYaml .Values.a }}\n", 2, id="block"),
    ],
)
def test_a_template_that_was_not_rendered_is_called_that(text: str, line: int) -> None:
    """The hint stands at the line that has the braces, and nowhere else."""
    with pytest.raises(ManifestError, match="has to be rendered first") as refused:
        _yaml(text)
    assert refused.value.line == line
    with pytest.raises(ManifestError) as other:
        _yaml("a: '{{ x }}'\nb: [\n")
    assert "rendered" not in str(other.value)


def test_json_not_utf8() -> None:
    """JSON in another encoding is refused."""
    with pytest.raises(ManifestError, match=r"x\.json:2: not UTF-8"):
        list(read_json("x.json", b'{\n"a": "\xff"}'))


_json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), _json_values, min_size=1))
def test_json_is_yaml(value: dict[str, object]) -> None:
    """What JSON says, YAML says too, where it is written in ASCII."""
    data = json.dumps(value).encode()
    assert [one.value for one in read_json("x.json", data)] == [value]
    if b"\\ud" not in data and "<<" not in value:
        assert [one.value for one in read_yaml("x.yaml", data)] == [value]


@given(st.binary(max_size=200) | st.text("{}[]&*!|>'\"%@:-?, \n\tab1~<", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No bytes lead to anything but documents or a ManifestError."""
    for read in (read_yaml, read_json):
        problem = ""
        try:
            list(read("x", data))
        except ManifestError as error:
            problem = error.problem
        assert not problem or problem.isprintable()


def test_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML's own parser, where libyaml is absent, gives the same, and refuses what libyaml refuses."""
    monkeypatch.setattr(documents, "_LOADER", yaml.SafeLoader)
    assert _yaml("a: [010, y, 12:30]\n---\nb: {<<: {c: 1}}\n") == [{"a": [8, True, "12:30"]}, {"b": {"c": 1}}]
    for text in ('a: "\\ud800"\n', 'a: "\\U00110000"\n', "a: \x01\n", "a: [\n"):
        with pytest.raises(ManifestError):
            _yaml(text)
