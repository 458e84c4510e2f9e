"""The figures: what is drawn of a run, by name, at the width that is asked for."""
