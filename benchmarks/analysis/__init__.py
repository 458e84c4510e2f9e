"""What analysing many cells takes: from nothing, and after one more."""
