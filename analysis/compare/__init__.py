"""Two or more runs beside each other, and ours beside the paper's."""
