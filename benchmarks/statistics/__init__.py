"""Whether 95 % intervals hold what they promise, in worlds that are kind to them and in worlds that are not."""
