"""Starting HAProxy, watching it, and ending it: the binary, its child process, and what it finds on the machine."""
