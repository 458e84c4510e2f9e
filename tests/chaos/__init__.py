"""Kills parts of a study at random instants, and looks whether it comes out as if nobody had."""
