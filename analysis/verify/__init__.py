"""`starwatt verify`: everything that makes a run trustworthy, computed from its raw files again."""
