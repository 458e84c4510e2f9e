"""README and docs/: what they show is tried as their reader would try it."""
