"""Whose folders and files are trusted."""

from __future__ import annotations

import os
import stat

import pytest

from router.owned import Us, objection

_DIR, _FILE, _LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK
_US = Us(1001, frozenset({1001}))
_IN_POD = Us(1001, frozenset({0}))
"""As OpenShift runs it: any user id, in root's group."""
_WITH_FS_GROUP = Us(1001, frozenset({1001, 2000}))


def _entry(mode: int, user: int, group: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, user, group, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("us", "entry", "folder", "problem"),
    [
        pytest.param(_US, (_DIR | 0o770, 1001, 1001), None, None, id="our own"),
        pytest.param(_US, (_DIR | 0o755, 0, 0), None, None, id="root's"),
        pytest.param(_US, (_DIR | 0o777, 1002, 1002), None, "belongs to user 1002", id="another user's"),
        pytest.param(_US, (_DIR | 0o770, 1002, 1001), None, "belongs to user 1002", id="another user's, in our group"),
        pytest.param(_US, (_FILE | 0o660, 1002, 1001), (_DIR | 0o770, 1001, 1001), "belongs to user 1002", id="in our folder"),
        pytest.param(_US, (_LINK | 0o777, 1001, 1001), None, "is a symbolic link, made by user 1001", id="link"),
        pytest.param(_US, (_DIR | 0o777, 1001, 1001), None, "can be written by everybody (mode 0777)", id="open to all"),
        pytest.param(_US, (_DIR | 0o1777, 0, 0), None, None, id="root's, sticky"),
        pytest.param(_IN_POD, (_DIR | 0o777, 0, 0), None, None, id="a pod's volume"),
        pytest.param(_IN_POD, (_DIR | 0o770, 1002, 0), (_DIR | 0o777, 0, 0), None, id="of the other container of the pod"),
        pytest.param(_IN_POD, (_DIR | 0o770, 1002, 0), None, None, id="state directory that the other container made"),
        pytest.param(_IN_POD, (_DIR | 0o770, 1002, 5), (_DIR | 0o777, 0, 0), "belongs to user 1002", id="of neither"),
        pytest.param(
            _WITH_FS_GROUP, (_DIR | 0o2770, 1002, 2000), (_DIR | 0o2777, 0, 2000), None, id="a volume with fsGroup"
        ),
        pytest.param(
            _WITH_FS_GROUP, (_DIR | 0o2770, 1002, 2000), (_DIR | 0o2777, 1002, 2000), "belongs to user 1002",
            id="the same in a folder that is not root's",
        ),
    ],
)  # fmt: skip
def test_what_is_trusted(
    us: Us, entry: tuple[int, int, int], folder: tuple[int, int, int] | None, problem: str | None
) -> None:
    """Ours, root's, and what containers of one pod make in a volume that they share; nothing else."""
    assert objection(_entry(*entry), us, _entry(*folder) if folder is not None else None) == problem
