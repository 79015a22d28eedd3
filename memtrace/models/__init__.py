"""Checkpoints: their weight files, digests, loading and verification."""
