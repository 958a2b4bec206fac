"""Looks up the names that Services of type ExternalName lead to; its modules are imported where that is wanted alone."""
