"""Keeps the store equal to an API server."""

from router.cluster.input import KubeInput
from router.cluster.reflector import Pace, WatchObserver
from router.cluster.sources import KindState, sources_of

__all__ = ["KindState", "KubeInput", "Pace", "WatchObserver", "sources_of"]
