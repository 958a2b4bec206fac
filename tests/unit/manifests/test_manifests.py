"""Manifests: which files count, what stands in them, and what is said about what cannot be used."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission import Admission
from router.manifests.files import MAX_FILE_BYTES, find
from router.manifests.parse import FileContent, load, merge, parse, read
from router.objects.core import Service
from router.objects.discovery import EndpointSlice
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Store
from router.settings import AdmissionSettings
from tests.support.objects import endpoint_slice, route, service

_SEED = """\
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: ottcache-002
  annotations:
    haproxy.router.openshift.io/wzh-router-name: "wzh-router-1"
    haproxy.router.openshift.io/external-tcp-port: "6620"
spec:
  to: {kind: Service, name: ottcache-002-service}
  port: {targetPort: 6620}
  tls: {termination: passthrough, insecureEdgeTerminationPolicy: None}
"""


def _problems(content: FileContent) -> list[str]:
    return [str(problem) for problem in content.problems]


def _write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)


def _route(name: str, port: str = "6620") -> str:
    return json.dumps(route(name, port))


def test_the_seeds_route() -> None:
    """The Route of the document that started the project is read unchanged."""
    (manifest,) = parse("seed.yaml", _SEED.encode()).manifests
    assert isinstance(manifest.obj, Route)
    assert manifest.slot == (Route, ObjectKey("default", "ottcache-002"))
    assert manifest.obj.spec.tls is not None
    assert manifest.obj.spec.tls.insecure_edge_termination_policy == "None"


def test_documents_lists_and_other_kinds() -> None:
    """Documents and lists hold objects; kinds that the router does not read are passed over without a word."""
    app = [route("web"), service("web"), *endpoint_slice("web", ("10.0.0.1", 5432))]
    typed = {"apiVersion": "v1", "kind": "ServiceList", "items": [{"metadata": {"name": "a"}}, service("b")]}
    nested = {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "List", "items": app}, typed]}
    others = {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod"}, None][:1]}
    text = "\n---\n".join(json.dumps(value) for value in (nested, others, {"kind": "Job"}, {"kind": "List"}))
    content = parse("x.yaml", text.encode())
    assert content.problems == ()
    assert [(kind, key.name) for kind, key in (manifest.slot for manifest in content.manifests)] == [
        (Route, "web"),
        (Service, "web"),
        (EndpointSlice, "web-0"),
        (Service, "a"),
        (Service, "b"),
    ]


def test_places() -> None:
    """An object knows its file, its document and the line of that."""
    text = f"{_SEED}---\n\n{_SEED.replace('002', '003')}"
    (first, second) = parse("seed.yaml", text.encode()).manifests
    assert (first.path, first.document, first.line) == ("seed.yaml", 1, 1)
    assert (second.path, second.document, second.line) == ("seed.yaml", 2, 14)


@pytest.mark.parametrize("written", ["6_620", "0x19DC", "014734", "0o14734", "6.62e3", "6620.0"])
def test_the_hint_for_a_number_leads_to_what_is_accepted(written: str) -> None:
    """Who writes the port as told has it."""
    (problem,) = _problems(parse("x.yaml", _SEED.replace('"6620"', written).encode()))
    (hint,) = re.findall('write "([^"]*)"', problem)
    (manifest,) = parse("x.yaml", _SEED.replace('"6620"', f'"{hint}"').encode()).manifests
    settings = AdmissionSettings(router_name="wzh-router-1")
    store = Store()
    store.put(manifest.obj)
    store.take()
    (verdict,) = Admission(settings).update(store.objects, store.objects.everything()).verdicts.values()
    assert (verdict.admitted, verdict.port) == (True, 6620)


@pytest.mark.parametrize("name", ["x.json", "x.yaml"])
def test_json_values_one_after_the_other(name: str) -> None:
    """As ``kubectl get -o json`` twice gives them; also where the file's name says nothing of JSON."""
    text = _route("a") + _route("b") + "\n\n" + _route("c")
    content = parse(name, text.encode())
    assert content.problems == ()
    assert [(manifest.slot[1].name, manifest.line) for manifest in content.manifests] == [("a", 1), ("b", 1), ("c", 3)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param('{"a": 1}\n{"a": 1, "a": 2}', "x.yaml:2: the key", id="values of JSON"),
        pytest.param('{"a": 1}\n---\nb: [\n', "x.yaml:4:1: not YAML", id="documents of YAML"),
        pytest.param("{a: 1}\n{b: 2}", "x.yaml:2:1: not YAML", id="mappings of YAML"),
    ],
)
def test_the_problem_is_that_of_the_reader_that_came_further(text: str, problem: str) -> None:
    """A text that is neither JSON nor YAML is told what hinders it to be the one that it was meant to be."""
    (told,) = _problems(parse("x.yaml", text.encode()))
    assert told.startswith(problem)


@pytest.mark.parametrize(
    ("api_version", "kind", "is_problem"),
    [
        ("template.openshift.io/v1", "Route", True),
        ("v1", "EndpointSlice", True),
        ("template.openshift.io/v1", "List", True),
        ("template.openshift.io/v1", "Deployment", False),
        ("other.example.com/v1", "Route", False),
    ],
)
def test_a_template_is_not_what_it_makes(api_version: str, kind: str, *, is_problem: bool) -> None:
    """One with objects of ours is a problem that says how they are made; what else has that kind is none of ours."""
    template = {"apiVersion": api_version, "kind": "Template", "metadata": {"name": "t"}, "objects": [{"kind": kind}]}
    content = parse("t.json", json.dumps(template).encode())
    assert [("oc process --local -f FILE" in problem) for problem in _problems(content)] == [True] * is_problem
    assert parse("t.json", json.dumps({**template, "objects": None}).encode()).problems == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            _SEED.replace('"6620"', "6620"),
            "x.yaml:7:5: Route default/ottcache-002: "
            'metadata.annotations["haproxy.router.openshift.io/external-tcp-port"]: 6620 is a number; write "6620"',
            id="number",
        ),
        pytest.param(
            _SEED.replace('"6620"', "0x19DC"),
            "x.yaml:7:5: Route default/ottcache-002: "
            'metadata.annotations["haproxy.router.openshift.io/external-tcp-port"]: 0x19DC is a number; write "6620", '
            'or "0x19DC" if that very text is meant',
            id="number as it is written",
        ),
        pytest.param(
            _SEED.replace('"6620"', "on"),
            "x.yaml:7:5: Route default/ottcache-002: "
            'metadata.annotations["haproxy.router.openshift.io/external-tcp-port"]: on is a boolean; write "true", '
            'or "on" if that very text is meant',
            id="word that means a boolean",
        ),
        pytest.param(
            _SEED.replace('"6620"', "6.62e3"),
            "x.yaml:7:5: Route default/ottcache-002: "
            'metadata.annotations["haproxy.router.openshift.io/external-tcp-port"]: 6.62e3 is a number; write "6620", '
            'or "6.62e3" if that very text is meant',
            id="whole number with an exponent",
        ),
        pytest.param(
            _SEED.replace("{targetPort: 6620}", "{targetPort: y}"),
            'x.yaml:10:10: Route default/ottcache-002: spec.port.targetPort: y is a boolean; write "y"',
            id="port name that means a boolean",
        ),
        pytest.param(
            _SEED.replace("name: ottcache-002\n", "name: 0123\n"),
            'x.yaml:4:3: Route: metadata.name: 0123 is a number; write "0123"',
            id="name that is a number",
        ),
        pytest.param(
            _SEED.replace("  name: ottcache-002\n", ""), "x.yaml:3:1: Route: metadata.name: is missing", id="no name"
        ),
        pytest.param(
            _SEED.replace("name: ottcache-002\n", "name: Ottcache\n"),
            'x.yaml:4:3: Route "default/Ottcache": metadata.name: not a DNS name (a-z, 0-9, - and dots)',
            id="name that no API server accepts",
        ),
        pytest.param(
            _SEED.replace("name: ottcache-002\n", 'name: "a\\nb"\n'),
            'x.yaml:4:3: Route "default/a\\nb": metadata.name: not a DNS name (a-z, 0-9, - and dots)',
            id="name with a newline",
        ),
        pytest.param(
            _SEED.replace("metadata:\n", "metadata:\n  namespace: a.b\n"),
            "x.yaml:4:3: Route a.b/ottcache-002: metadata.namespace: not a DNS label (a-z, 0-9 and -)",
            id="namespace with a dot",
        ),
        pytest.param(
            _SEED.replace("targetPort: 6620", "targetPort: [6620]"),
            "x.yaml:10:10: Route default/ottcache-002: "
            "spec.port.targetPort: [...] is a list, not a whole number or text",
            id="list for a number",
        ),
        pytest.param(
            _SEED.replace("route.openshift.io/v1", "v1"),
            'x.yaml:2:1: Route default/ottcache-002: apiVersion: "v1" has no Route; write route.openshift.io/v1',
            id="apiVersion of OpenShift 3",
        ),
        pytest.param("kind: [List]\n", "x.yaml:1:1: kind: is missing or no text", id="no kind"),
        pytest.param(
            "- a\n",
            "x.yaml:1: not an object: a mapping with apiVersion, kind and metadata was expected",
            id="list of text",
        ),
        pytest.param("kind: List\nitems: {}\n", "x.yaml:2:1: items: is no list", id="items that are no list"),
        pytest.param(
            "a: [\n", "x.yaml:2:1: not YAML: while parsing a flow node did not find expected node content", id="syntax"
        ),
    ],
)
def test_problems(text: str, problem: str) -> None:
    """A problem names file, line, column, object, field and the way out."""
    content = parse("x.yaml", text.encode())
    assert (content.manifests, _problems(content)) == ((), [problem])


def test_one_bad_object_costs_only_itself() -> None:
    """Objects beside a bad one are used, and the bad one is known by its name, so that its last version can stay."""
    bad = json.loads(_route("bad"))
    bad["metadata"]["annotations"]["x"] = 5
    text = json.dumps({"kind": "List", "apiVersion": "v1", "items": [json.loads(_route("good")), bad]}, indent=1)
    for path in ("x.yaml", "x.json"):
        content = parse(path, text.encode())
        assert [manifest.slot[1].name for manifest in content.manifests] == ["good"]
        assert content.refused == {(Route, ObjectKey("team", "bad"))}
        (problem,) = content.problems
        assert problem.line is not None
        assert text.splitlines()[problem.line - 1].strip() == '"x": 5'


def test_json_that_is_not_yaml_has_the_line_of_its_value() -> None:
    """Where the place of a field cannot be found, the line of the document has to do."""
    bad = json.loads(_route("bad"))
    bad["metadata"]["annotations"]["x"] = 5
    content = parse("x.json", f"{_route('good')}\n\n{json.dumps(bad)}".encode())
    assert [(problem.line, problem.column) for problem in content.problems] == [(3, None)]


def test_duplicates_name_both_places(tmp_path: Path) -> None:
    """Of an object that is there twice the first counts, by path and then by place; problems name both."""
    _write(tmp_path, b=_route("web", "1002"), a=f"{_route('web', '1001')}\n---\n{_route('web', '1003')}")
    loaded = load([tmp_path / "b.yaml", tmp_path])
    (obj,) = loaded.objects
    assert obj.metadata.annotations is not None
    assert obj.metadata.annotations["haproxy.router.openshift.io/external-tcp-port"] == "1001"
    first = f"Route team/web is in {tmp_path}/a.yaml:1 already; that one counts"
    assert [str(problem) for problem in loaded.problems] == [
        f"{tmp_path}/a.yaml:3: {first}",
        f"{tmp_path}/b.yaml:1: {first}",
    ]


def test_same_name_and_other_kind_or_namespace_is_no_duplicate() -> None:
    """Objects are told apart by kind, namespace and name."""
    values = [route("web"), service("web"), route("web", namespace="other")]
    contents = [parse(f"{number}.json", json.dumps(value).encode()) for number, value in enumerate(values)]
    merged = merge(contents)
    assert (len(merged.objects), merged.problems) == (3, ())


def test_find_passes_over_what_editors_leave(tmp_path: Path) -> None:
    """Files that editors leave beside a file, hidden ones, and others are not read; all manifests below are."""
    for name in ("a.yaml", "b.yml", "sub/deep/c.json", "z.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in (".a.yaml", ".#a.yaml", "#a.yaml#", "#a.yaml", "a.yaml~", ".a.yaml.swp", "4913", "a.yaml.tmp", "a.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.yaml").touch()
    found = find(tmp_path)
    assert [os.path.relpath(path, tmp_path) for path in found.files] == ["a.yaml", "b.yml", "sub/deep/c.json", "z.yaml"]
    assert found.problems == ()


def test_find_reads_a_mounted_configmap_once(tmp_path: Path) -> None:
    """Of a mounted ConfigMap the links are followed, to folders too, and the hidden folders that they lead to are not read."""
    (tmp_path / "..2025" / "sub").mkdir(parents=True)
    (tmp_path / "..2025" / "a.yaml").touch()
    (tmp_path / "..2025" / "sub" / "b.yaml").touch()
    (tmp_path / "..data").symlink_to("..2025")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    (tmp_path / "sub").symlink_to("..data/sub")
    assert list(find(tmp_path).files) == [f"{tmp_path}/a.yaml", f"{tmp_path}/sub/b.yaml"]


def test_find_ends_where_links_lead_in_circles(tmp_path: Path) -> None:
    """Links that lead upwards do not make the walk endless, nor a file count twice."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.yaml").touch()
    for name in ("up", "up2"):
        (tmp_path / "a" / name).symlink_to("..")
    assert list(find(tmp_path).files) == [f"{tmp_path}/a/x.yaml"]


def test_find_tells_of_links_that_lead_nowhere(tmp_path: Path) -> None:
    """A link that cannot be followed is a problem, and nothing is known of what is behind it."""
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    found = find(tmp_path)
    assert found.files == {}
    assert [problem.path for problem in found.problems] == [f"{tmp_path}/gone.yaml", f"{tmp_path}/loop.yaml"]
    assert found.is_unknown(f"{tmp_path}/gone.yaml")
    assert not found.is_unknown(f"{tmp_path}/gone.yaml.yaml")


def test_names_that_cannot_be_shown(tmp_path: Path) -> None:
    """A file whose name has control characters or is no UTF-8 is not read, and told of in a way that can be shown."""
    (tmp_path / "a\nb.yaml").touch()
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml"))).touch()
    found = find(tmp_path)
    assert found.files == {}
    assert [str(problem).isprintable() for problem in found.problems] == [True, True]


def test_load_of_a_path_that_is_not_there(tmp_path: Path) -> None:
    """A path that is not there is a problem, and the others are read."""
    _write(tmp_path, a=_route("web"))
    loaded = load([tmp_path / "b.yaml", tmp_path / "a.yaml"])
    assert [str(problem) for problem in loaded.problems] == [
        f"{tmp_path}/b.yaml: cannot be read: No such file or directory"
    ]
    assert len(loaded.objects) == 1


def test_load_reads_a_file_of_any_name(tmp_path: Path) -> None:
    """A file that is named is read, whatever it is called."""
    (tmp_path / "manifest.txt").write_text(_SEED)
    assert len(load([tmp_path / "manifest.txt"]).objects) == 1


def test_unusual_files_are_problems(tmp_path: Path) -> None:
    """A named pipe does not block the reader, and a huge file is refused."""
    os.mkfifo(tmp_path / "pipe.yaml")
    with (tmp_path / "huge.yaml").open("wb") as huge:
        huge.truncate(MAX_FILE_BYTES + 1)
    contents = {name: read(f"{tmp_path}/{name}.yaml") for name in ("pipe", "huge")}
    assert {name: [problem.problem for problem in content.problems] for name, content in contents.items()} == {
        "pipe": ["not a regular file"],
        "huge": ["larger than 32 MiB"],
    }


def test_empty_file() -> None:
    """A file without a document has no objects and no problems."""
    for path, data in (("x.yaml", b""), ("x.yaml", b"# nothing\n---\n"), ("x.json", b"\n")):
        assert parse(path, data) == FileContent()


_metadata = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text('aB1.-" \n\0é', max_size=4) | st.integers(),
        "namespace": st.sampled_from(("", "a", "a b", None)),
    },
)


@given(
    st.lists(
        st.fixed_dictionaries({"kind": st.sampled_from(("Route", "List")), "metadata": _metadata, "items": st.none()})
    )
)
def test_every_object_is_used_or_told_of(values: list[dict[str, object]]) -> None:
    """Nothing is lost in silence: each Route is an object or a problem."""
    text = "\n---\n".join(json.dumps({"apiVersion": "route.openshift.io/v1", **value}) for value in values)
    content = parse("x.yaml", text.encode())
    routes = sum(value["kind"] == "Route" for value in values)
    assert len(content.manifests) + len(content.problems) == routes
    assert all(str(problem).isprintable() for problem in content.problems)
