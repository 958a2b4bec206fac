"""What msgspec knows of types is found out while modules are imported, when there is one thread."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from router.shapes import converter, read_any, reader

_ROUTER = Path(__file__).resolve().parents[2] / "router"
_TYPELESS = {
    "structs.replace",
    "structs.asdict",
    "to_builtins",
    "Raw",
    "DecodeError",
    "ValidationError",
    "MsgspecError",
}
"""What there is in msgspec that finds nothing out about types, and may be used in a function."""
_BY_NAME = {"Struct", "field", "replace", "asdict", "Raw"}
"""What may be imported by its own name."""
_AT_IMPORT = {"reader", "converter"}


class _Calls(ast.NodeVisitor):
    """Finds uses of msgspec, of what ``router.shapes`` has for import time, and definitions of structs, within functions."""

    def __init__(self) -> None:
        self.depth = 0
        self.found: list[tuple[int, str]] = []
        self.imported_by_name: list[str] = []

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.Lambda | ast.AsyncFunctionDef) -> None:
        self.depth += 1
        for each in [node.body] if isinstance(node, ast.Lambda) else node.body:
            self.visit(each)
        self.depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's names
    visit_Lambda = visit_FunctionDef  # noqa: N815 - likewise

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if self.depth and any(ast.unparse(base).endswith("Struct") for base in node.bases):
            self.found.append((node.lineno, f"class {node.name}"))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = ast.unparse(node)
        if self.depth and name.startswith("msgspec.") and name.removeprefix("msgspec.") not in _TYPELESS:
            self.found.append((node.lineno, name))

    def visit_Name(self, node: ast.Name) -> None:
        if self.depth and node.id in _AT_IMPORT:
            self.found.append((node.lineno, node.id))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        # An annotation within a function is never evaluated.
        if node.value is not None:
            self.visit(node.value)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module is not None and node.module.split(".")[0] == "msgspec":
            self.imported_by_name += [each.name for each in node.names if each.name not in _BY_NAME]


def _uses(path: Path) -> Iterator[str]:
    calls = _Calls()
    calls.visit(ast.parse(path.read_text()))
    for line, what in calls.found:
        yield f"{path.relative_to(_ROUTER)}:{line}: {what}"
    for name in calls.imported_by_name:
        yield f"{path.relative_to(_ROUTER)}: from msgspec import {name}"


def test_no_function_makes_msgspec_find_out_about_a_type() -> None:
    """In all of router/, decoders, encoders and conversions are made while modules are imported, through one module."""
    found = [use for path in sorted(_ROUTER.glob("**/*.py")) if path.name != "shapes.py" for use in _uses(path)]
    assert found == []


def test_the_look_at_functions_sees_what_it_shall() -> None:
    """A decoder that is made in a function, by whatever name, is found, and one of a module is none."""
    source = """
import msgspec
from router.shapes import reader
from msgspec.json import Decoder

READ = reader(int)
ONE = msgspec.json.Decoder(int)

def read(body):
    a = msgspec.json.decode(body, type=int)
    b = msgspec.convert(body, int)
    c = [msgspec.json.Decoder(int) for _ in body]
    class Late(msgspec.Struct): x: int
    return reader(int), lambda: msgspec.json.Encoder()
"""
    calls = _Calls()
    calls.visit(ast.parse(source))
    assert [what for _, what in calls.found] == [
        "msgspec.json.decode",
        "msgspec.convert",
        "msgspec.json.Decoder",
        "class Late",
        "msgspec.Struct",
        "reader",
        "msgspec.json.Encoder",
    ]
    assert calls.imported_by_name == ["Decoder"]


_RACE = """
import importlib, json, sys, threading, time
sys.setswitchinterval(1e-6)
meta = {"name": "db", "namespace": "team", "labels": {"kubernetes.io/service-name": "db"}, "annotations": {"a": "b"}}
route = {"metadata": meta, "spec": {"to": {"name": "db", "weight": 1}, "port": {"targetPort": 1}},
         "status": {"ingress": [{"routerName": "r", "conditions": [{"type": "Admitted", "status": "True"}]}]}}
service = {"metadata": meta, "spec": {"ports": [{"port": 1, "targetPort": "x"}]}}
endpoints = {"metadata": meta, "addressType": "IPv4", "ports": [{"port": 1}],
             "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": "p"}}]}

def fresh():
    for name in [name for name in sys.modules if name.split(".")[0] == "router"]:
        del sys.modules[name]
    decoding = importlib.import_module("router.cluster.decoding")
    decode = importlib.import_module("router.objects.decoding").decode
    names = ("route", "Route"), ("core", "Service"), ("discovery", "EndpointSlice")
    structs = [getattr(importlib.import_module(f"router.objects.{module}"), name) for module, name in names]
    jobs = []
    for kind, obj in zip(structs, (route, service, endpoints), strict=True):
        text = json.dumps(obj).encode()
        jobs.append(lambda kind=kind, text=text: decoding.decode_object(kind, text))
        jobs.append(lambda kind=kind, obj=obj: decode(kind, obj))
    return jobs

failures = []

def run(job, barrier):
    barrier.wait()
    try:
        assert job().metadata.name == "db"
    except BaseException as error:
        failures.append(repr(error))

ends_s = time.monotonic() + 40
for number in range(40):
    if number >= 8 and time.monotonic() > ends_s:
        # Beside much else: each of them imports all that is read.
        break
    jobs = fresh() * 2
    barrier = threading.Barrier(len(jobs))
    threads = [threading.Thread(target=run, args=(job, barrier)) for job in jobs]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
assert not failures, failures
"""


def test_threads_that_decode_for_the_first_time_do_not_meet() -> None:
    """Threads that read objects of all kinds at the same moment, the first of their process, all get them, and nothing crashes."""
    ran = subprocess.run(
        [sys.executable, "-c", _RACE], cwd=_ROUTER.parent, capture_output=True, check=False, timeout=100
    )
    assert (ran.returncode, ran.stderr.decode()[-2000:]) == (0, "")


class _Struct(msgspec.Struct):
    a: int = 0


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"b": ' * 100_000, b'"\xff"', b"{", b"", b'{"a": "x"}'], ids=lambda b: str(b[:6])
)
def test_whatever_cannot_be_read_is_one_kind_of_error(body: bytes) -> None:
    """Bytes of all kinds that are not what they should be raise the error that callers expect, at whatever depth."""
    with pytest.raises(msgspec.DecodeError):
        reader(_Struct)(body)
    if body != b'{"a": "x"}':
        with pytest.raises(msgspec.DecodeError):
            read_any(body)


def test_converter_makes_values_of_a_type() -> None:
    """A plain value of the right form becomes the type, and one of another is refused."""
    assert converter(_Struct)({"a": 1}) == _Struct(1)
    with pytest.raises(msgspec.ValidationError):
        converter(_Struct)({"a": "x"})
