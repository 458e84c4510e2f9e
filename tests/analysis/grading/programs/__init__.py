"""Hostile programs as texts, by what they aim at."""
