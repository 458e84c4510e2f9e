"""Boards are set to a power limit or a clock for a study, and put back as they were, whatever ends it."""
