"""Runs on disk: configuration, score files, what is done and what is left."""
