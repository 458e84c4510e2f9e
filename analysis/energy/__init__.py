"""Joules of a window: what sensors are like, which readings are believed, and how sure the sum is."""
