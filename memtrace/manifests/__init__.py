"""Suites, their models, corpora and steps, as the manifest files say."""
