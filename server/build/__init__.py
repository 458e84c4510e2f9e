"""A variant becomes a checkpoint: weights made, pruned or quantised once, under the digest of their recipe."""
