"""Exit codes beyond those that errors carry (starwatt_errors.py)."""

from __future__ import annotations

INVALID = 3
"""Measured, but a figure is invalid."""
INTERRUPTED = 130
