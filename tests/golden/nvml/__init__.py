"""NVML's place taken by a library whose boards draw a power that is known."""
