"""Plan what is measured: cells in their order, how long they take, CPUs, arrivals, lengths, prompts."""
