"""Texts: which sequences are copies of one another, and which copies a checkpoint had seen."""
