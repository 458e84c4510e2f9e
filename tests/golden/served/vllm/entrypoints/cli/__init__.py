"""Stands in vLLM's place where a test puts it first on PYTHONPATH."""
