"""``tcp-router demo``: the product at work on one machine, as a user would run it.

The router is a child process like any user's; nothing here reaches into it.
"""
