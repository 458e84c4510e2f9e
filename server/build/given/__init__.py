"""A model as somebody gives it: whether all of it is there, and what it is where it is nothing that is measured."""
