"""Measure what clients feel while one generation of the router is replaced by another on one network."""
