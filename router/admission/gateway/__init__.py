"""The Gateway API: which routes meet which listeners, what its objects are told of that, and what each listener asks for; pure."""
