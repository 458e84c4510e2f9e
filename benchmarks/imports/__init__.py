"""Other tools' files beside our own trace of the same requests: ``python -m benchmarks.imports``."""
