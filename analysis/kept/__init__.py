"""What an analysis made of each cell, kept beside the run, so that the next one reads new cells alone."""
