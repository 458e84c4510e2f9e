"""AMD boards, read through AMD SMI: the package ``amdsmi`` of the host's ROCm, or one that is installed."""
