"""Emergence along training as a point process."""
