"""Reason codes: why a cell, its energy or its pass@1 must not be believed."""
