"""Tables of text: the same for the page and for the terminal."""
