"""The box that a candidate runs in: its process, its bounds, and what is heard of it."""
