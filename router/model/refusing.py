"""Servers that stand for connections that are refused."""

from __future__ import annotations

REFUSING = "refusing"
"""The address of one: what is led there is ended at once, by a socket of HAProxy's own (``limits.cfg.j2``)."""
