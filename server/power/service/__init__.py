"""The power sidecar as a service, and its other end: power of one host beside a load on another."""
