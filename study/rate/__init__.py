"""The highest rate that holds a service level objective: which window comes next, and what the windows say together."""
