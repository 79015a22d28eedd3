"""Forward passes: GPT-NeoX's own, and any causal model through Transformers."""
