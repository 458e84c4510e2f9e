"""What it saves that engines stay loaded beside each other, and what it costs that they do."""
