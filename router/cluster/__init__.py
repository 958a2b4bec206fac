"""Keeps the store equal to an API server."""

from router.cluster.input import KindState, KubeInput, sources_of
from router.cluster.reflector import Pace, WatchObserver

__all__ = ["KindState", "KubeInput", "Pace", "WatchObserver", "sources_of"]
