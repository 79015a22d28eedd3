"""Scan checkpoints: plan, download, decide, on one or many processes or machines."""
