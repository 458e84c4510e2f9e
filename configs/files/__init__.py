"""The files that people write as plain data that knows its lines, and what is wrong with it in words."""
