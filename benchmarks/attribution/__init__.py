"""How long attribution takes, and beside a plain loop over requests."""
