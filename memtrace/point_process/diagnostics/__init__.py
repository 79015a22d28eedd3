"""Tests and diagnostics of the order of events."""
