"""Decide what a load is going to ask, and when, from seed, block and load before the first request."""
