"""One measuring path: an engine's session, its cells, the meter beside them, and what happens when one fails."""
