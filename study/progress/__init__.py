"""What a person sees while a study runs: the terminal, a live view of the cell, metrics for Prometheus."""
