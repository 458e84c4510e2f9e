"""Children: how they are started, and what ends them when their parent was killed."""
