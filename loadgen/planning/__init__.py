"""What a load is going to ask, and when: decided from seed, block and load before the first request."""
