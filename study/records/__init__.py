"""Keep what a run directory says of itself: who holds it, on which machines it was measured, what changed since."""
