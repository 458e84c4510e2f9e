"""Look at what `starwatt doctor` tells: each check is a finding with its remedy."""
