"""pass@1 and pass@k from graded completions."""
