"""How an engine is started: what a study says of all engines, and the arguments of its own that a variant adds."""
