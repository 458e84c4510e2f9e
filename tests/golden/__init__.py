"""A simulated world whose joules are known: computed here, never by analysis/."""
