"""A run as its own files say it was: manifest, study and plan, and whether cells are what their folder says."""
