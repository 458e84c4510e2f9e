"""What ``import starwatt`` offers to other people's code: runs as pandas frames, and joules of any block."""
