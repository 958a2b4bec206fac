"""``scripts/bench``: how long the router and its HAProxy take, measured on this machine. docs/benchmarks.md explains each figure."""
