"""NVIDIA GPUs as a meter: NVML, the boards that are read, and who is on them."""
