"""What is kept of Secrets that listeners may refer to."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from router.cluster.decoding import decode_head
from router.cluster.gateway_secrets import SecretSink
from router.objects.gateway import GatewaySecret
from router.objects.meta import ObjectKey
from router.objects.store import Store
from tests.support.certificates import make
from tests.support.objects import tls_secret

MADE = make("tls.example.com")
WHOLE = tls_secret("whole", MADE.pem, MADE.key)
ODD = tls_secret("odd", MADE.pem, make("other.example.com").key)
OTHER = tls_secret("other", MADE.pem, MADE.key, kind="Opaque")


def raw(secret: dict[str, Any]) -> msgspec.Raw:
    """Give a Secret as it comes."""
    return msgspec.Raw(json.dumps(secret).encode())


def taken(store: Store) -> dict[ObjectKey, GatewaySecret]:
    """Give what the store has by now."""
    store.take()
    return dict(store.objects.gateway_api.secrets)


@pytest.mark.parametrize("keeps_content", [False, True])
def test_what_is_kept(keeps_content: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Of a whole one what is in it, if that is asked for; of others the problem alone. Nothing shows it."""
    store = Store()
    sink = SecretSink(store, keeps_content=keeps_content)
    sink.begin_list()
    sink.add_page(tuple(map(raw, (WHOLE, ODD))))
    sink.end_list("1")
    sink.apply(decode_head(raw(OTHER)), raw(OTHER))
    kept = taken(store)
    assert {key.name: bool(each.problem) for key, each in kept.items()} == {"whole": False, "odd": True, "other": True}
    for name, each in ((key.name, each) for key, each in kept.items()):
        assert (each.credential is not None) is (keeps_content and name == "whole")
        assert MADE.key.splitlines()[2] not in repr(each)
    found = kept[ObjectKey("team", "whole")].credential
    assert found is None or (found.certificate, found.key_pem) == (MADE.pem, MADE.key)
    sink.apply(decode_head(raw(WHOLE)), None)
    assert ObjectKey("team", "whole") not in taken(store)
    assert sink.held == 2
