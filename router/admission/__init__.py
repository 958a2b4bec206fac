"""Admission: objects in, model and verdicts out; pure."""
