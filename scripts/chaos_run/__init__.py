"""The command behind ``scripts/chaos``; what it runs is in ``tests/support/chaos``."""
