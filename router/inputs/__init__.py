"""What keeps the store equal to the outside: a directory of manifests, or an API server."""
