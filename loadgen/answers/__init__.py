"""The bytes of an answer become chunks, tokens and words, once the request has ended."""
