"""Sending on time and timing arrivals outside Python: ``wire.c``, its binding, and a client on it."""
