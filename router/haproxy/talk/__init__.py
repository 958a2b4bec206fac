"""HAProxy's sockets: commands, and their replies as typed values."""
