"""Find what differs between variants, loads, nodes and neighbours, paired by block, with intervals."""
