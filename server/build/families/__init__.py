"""What differs between families of models: which are measured, where their layers are, which norm feeds what."""
