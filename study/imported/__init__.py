"""`starwatt import`: a run that others measured becomes a run directory."""
