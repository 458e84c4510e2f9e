"""What a sensor is like, found here: its period, window and lag, and its gain beside a trusted meter."""
