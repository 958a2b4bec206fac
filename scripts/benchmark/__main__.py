"""``python -m scripts.benchmark``, which ``scripts/bench`` runs."""

from scripts.benchmark.command import main

main()
