"""Offer other people's code what ``import starwatt`` has: runs as pandas frames, and joules of any block."""
