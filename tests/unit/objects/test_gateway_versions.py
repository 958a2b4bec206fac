"""Manifests of the Gateway API in the versions that clusters serve."""

from __future__ import annotations

import pytest

from router.objects.decoding import API_VERSIONS, OLDER, Misfit, kind_of

CASES = [(kind, version) for kind, versions in OLDER.items() for version in sorted(versions)]


@pytest.mark.parametrize(("kind", "version"), CASES)
def test_an_older_version_of_the_same_form_is_read_as_the_newer_one(kind: str, version: str) -> None:
    """And one that never was is refused, with what to write."""
    newest, struct = API_VERSIONS[kind]
    assert kind_of({"kind": kind, "apiVersion": version}) is struct
    assert kind_of({"kind": kind, "apiVersion": newest}) is struct
    refused = kind_of({"kind": kind, "apiVersion": "gateway.networking.k8s.io/v1alpha1"})
    assert isinstance(refused, Misfit)
    assert newest in str(refused)
