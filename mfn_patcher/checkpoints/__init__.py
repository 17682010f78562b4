"""Checkpoints: finding, checking and describing them."""
