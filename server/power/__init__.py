"""The power sidecar: meters, a sampler on an absolute schedule, and the process that runs them beside a load."""
