"""Choose who measures: this machine, its boards side by side, or the nodes of a Slurm cluster."""
