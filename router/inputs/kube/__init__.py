"""Keeps the store equal to an API server."""

from router.inputs.kube.input import KindState, KubeInput, sources_of
from router.inputs.kube.reflector import Pace, WatchObserver

__all__ = ["KindState", "KubeInput", "Pace", "WatchObserver", "sources_of"]
