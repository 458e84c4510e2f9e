"""The templates of the pages, and their style."""
