"""The CRD of PortClaims: what it takes, what it refuses, and what kubectl shows of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.support.crd import claims_schema
from tests.support.kustomize import one, render
from tests.support.objects import port_claim

CLAIMS = "portclaims.tcp-router.openshift.io"
WON = port_claim("tcp-router-15432", 15432, holder=("Route", "shop", "db"))
RESERVED = port_claim("keep", 15432, holder=None)

WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no ledger": ({"ledger": ""}, "spec.ledger", "should match"),
    "a ledger that is no name": ({"ledger": "Tcp_Router"}, "spec.ledger", "should match"),
    "a port that is none": ({"port": 65536}, "spec.port", "less than or equal to 65535"),
    "a port in quotes": ({"port": "15432"}, "spec.port", "must be of type integer"),
    "the SNI port without a host": ({"port": 0}, "spec", "say which host"),
    "a host that is none": ({"host": "DB.example.com"}, "spec.host", "should match"),
    "a wildcard in the midst": ({"host": "db.*.com"}, "spec.host", "should match"),
    "another origin": ({"origin": "Lost"}, "spec.origin", "Unsupported value"),
    "a range that was won": ({"portEnd": 15440}, "spec", "portEnd is for reservations"),
    "won by nobody": ({"holder": None}, "spec", "names its holder"),
    "won by a namespace": ({"holder": {"namespace": "shop"}}, "spec", "names its holder"),
    "a name without kind": (
        {"origin": "Reserved", "holder": {"namespace": "shop", "name": "db"}}, "spec.holder", "kind and name",
    ),
    "a name without namespace": (
        {"origin": "Reserved", "holder": {"kind": "Route", "name": "db"}}, "spec.holder", "has a namespace",
    ),
    "a range that ends before it begins": (
        {"origin": "Reserved", "portEnd": 15000}, "spec", "not less than port",
    ),
    "a range of hosts": (
        {"origin": "Reserved", "portEnd": 15440, "host": "db.example.com"}, "spec", "whole ports",
    ),
}  # fmt: skip


def changed(obj: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """Give a claim with other fields; None takes one away."""
    new = copy.deepcopy(obj)
    new["spec"].update(spec)
    new["spec"] = {key: value for key, value in new["spec"].items() if value is not None}
    return claims_schema().completed(new)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"host": "db.example.com"},
        {"host": "*.example.com", "port": 0},
        {"origin": "Reserved", "holder": None, "portEnd": 15440},
        {"origin": "Reserved", "holder": {"namespace": "shop"}},
        {"origin": "Reserved", "holder": {}},
    ],
)
def test_what_is_right_is_taken(spec: dict[str, Any]) -> None:
    """Whole ports, hosts, wildcards, and reservations of ranges, for namespaces, and for nobody."""
    assert claims_schema().problems(changed(WON, spec)) == []
    assert claims_schema().unknown_fields(changed(WON, spec)) == []


@pytest.mark.parametrize(("spec", "field", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused(spec: dict[str, Any], field: str, said: str) -> None:
    """With the field, and what would be right."""
    causes = claims_schema().problems(changed(WON, spec))
    assert [cause.field for cause in causes] == [field]
    assert said in causes[0].message


@pytest.mark.parametrize("field", ["ledger", "address", "port", "host"])
def test_what_a_claim_is_of_cannot_be_changed(field: str) -> None:
    """Else a reservation could be turned into another one under the hands of those who go by its name."""
    old = changed(WON, {"host": "db.example.com"})
    other = {"ledger": "other", "address": "10.0.0.1", "port": 15433, "host": "web.example.com"}[field]
    (cause,) = claims_schema().problems(changed(old, {field: other}), old)
    assert (cause.field, field in cause.message, "immutable" in cause.message) == (f"spec.{field}", True, True)
    assert claims_schema().problems(changed(old, {"origin": "Reserved", "holder": {"namespace": "billing"}}), old) == []


def test_what_kubectl_shows() -> None:
    """The columns that the documentation names, each of a field that the schema has."""
    (version,) = one(render("crds"), "CustomResourceDefinition", CLAIMS)["spec"]["versions"]
    columns = {
        each["name"]: each["jsonPath"] for each in version["additionalPrinterColumns"] if not each.get("priority")
    }
    assert list(columns) == ["Port", "Address", "Host", "Holder", "Since", "Released", "Router"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    for each in version["additionalPrinterColumns"]:
        _, part, field = each["jsonPath"].split(".")
        assert part == "metadata" or field in schema[part]["properties"]
    names = one(render("crds"), "CustomResourceDefinition", CLAIMS)["spec"]["names"]
    assert (names["kind"], names["shortNames"]) == ("PortClaim", ["pclaim"])


def test_what_kubectl_shows_of_policies() -> None:
    """What they are for and what became of that; each a field that the schema has, by a short name."""
    crd = one(render("crds"), "CustomResourceDefinition", "tcproutepolicies.tcp-router.openshift.io")
    (version,) = crd["spec"]["versions"]
    columns = [each["name"] for each in version["additionalPrinterColumns"] if not each.get("priority")]
    assert columns == ["Target", "Name of target", "Accepted", "Reason", "Age"]
    target = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["targetRefs"]["items"]
    assert {"kind", "name", "sectionName"} <= set(target["properties"])
    assert crd["spec"]["names"]["shortNames"] == ["tcppolicy"]
    assert crd["metadata"]["labels"]["gateway.networking.k8s.io/policy"] == "Inherited"
