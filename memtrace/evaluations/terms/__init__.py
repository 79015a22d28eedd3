"""Accuracy on terms and how often training has shown them."""
