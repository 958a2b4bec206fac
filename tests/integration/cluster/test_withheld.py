"""Kinds without which somebody is let in, and which may not be read: the store is told what is not known, for a namespace or for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.objects.meta import ObjectKey
from router.settings import KubeSettings
from tests.support.api_server import ApiServer
from tests.support.followed import Followed
from tests.support.kube.resources import TCP_ROUTE_POLICIES
from tests.support.objects import app
from tests.support.waiting import wait_for

NAME = "tcproutepolicies"


@pytest.mark.parametrize("namespaces", [(), ("team", "other")], ids=["all", "two"])
@pytest.mark.parametrize("status", [0, 405], ids=["forbidden", "refused"])
def test_it_is_said_until_the_list_is_there(tmp_path: Path, namespaces: tuple[str, ...], status: int) -> None:
    """Of each watch by itself; the store is synced all the same, and the kind is no longer one of those that are done without."""
    with ApiServer() as api:
        api.apply(*app("db", 6620))
        if status:
            api.faults.fail("GET", f"/apis/tcp-router.openshift.io/v1alpha1/{NAME}", status, 1000)
            api.faults.fail("GET", f"/apis/tcp-router.openshift.io/v1alpha1/namespaces/team/{NAME}", status, 1000)
            api.faults.fail("GET", f"/apis/tcp-router.openshift.io/v1alpha1/namespaces/other/{NAME}", status, 1000)
        else:
            api.faults.forbid("list", NAME)
        world = Followed(KubeSettings(kubeconfig=api.kubeconfig(tmp_path), gateway_api="on", namespaces=namespaces))
        world.input.start()
        try:
            wait_for(lambda: world.store.is_synced, "all that may be read")
            unread = world.store.objects.gateway_api.unread
            wanted = {ObjectKey(namespace, NAME) for namespace in namespaces or ("",)}
            wait_for(lambda: world.store.take() and unread.keys() == wanted, "what is not known")
            assert all("nobody is led on" in each.problem for each in unread.values())
            wait_for(lambda: world.input.kinds[NAME].withheld, "the kind to be told of")
            assert world.input.kinds[NAME].is_forbidden is (status == 0)
            api.faults.clear()
            wait_for(lambda: world.store.take() and not unread, "the list", 30)
            wait_for(lambda: world.input.kinds[NAME].is_connected, "the watch")
            assert world.input.kinds[NAME].note == ""
        finally:
            world.input.stop()


def test_of_a_kind_that_is_not_there_nothing_is_said(tmp_path: Path) -> None:
    """The API server answers 403 all the same, and says what it has."""
    with ApiServer() as api:
        api.set_custom(TCP_ROUTE_POLICIES, there=False)
        api.faults.forbid("list", NAME)
        world = Followed(KubeSettings(kubeconfig=api.kubeconfig(tmp_path), gateway_api="on"))
        world.input.start()
        try:
            wait_for(lambda: world.store.is_synced, "all that there is")
            unread = world.store.objects.gateway_api.unread
            world.store.take()
            assert not unread
            assert NAME not in world.input.kinds
        finally:
            world.input.stop()
