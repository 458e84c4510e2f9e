"""One cell's rows of the tables."""
