"""The rows of a cell's requests as columns, its window, and latency."""
