"""What `starwatt doctor` looks at: each check is a finding with its remedy."""
