"""A folder of manifests as input: its text, files and objects, followed while they change."""
