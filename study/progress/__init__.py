"""Show a person what a study does: on the terminal, as a live view of the cell, as metrics for Prometheus."""
