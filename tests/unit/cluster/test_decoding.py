"""Objects that cannot be read are told as such, whatever is wrong with their bytes."""

from __future__ import annotations

import msgspec
import pytest

from router.cluster.decoding import decode_endpoints, decode_head, decode_object
from router.objects.decoding import Misfit
from router.objects.route import Route

NOT_UTF_8 = b'{"metadata": {"name": "\xff"}}'


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    """A proxy's damage costs the object, not the thread that watches."""
    with pytest.raises(msgspec.DecodeError):
        decode_head(NOT_UTF_8)
    assert isinstance(decode_object(Route, NOT_UTF_8), Misfit)
    assert isinstance(decode_endpoints(NOT_UTF_8), Misfit)
