"""What is written back to the objects: a module for each kind, the writer with its queue and pace, and Events."""
