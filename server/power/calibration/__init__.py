"""Find what a sensor is like: its period, window and lag, and its gain beside a trusted meter."""
