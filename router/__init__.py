"""OpenShift TCP Router: external TCP ports for Routes, served by HAProxy."""

__version__ = "0.1.0"
