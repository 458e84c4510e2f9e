"""A checkpoint becomes an endpoint: vLLM, transformers, or an engine that runs elsewhere."""
