"""Checkpoints: finding, reading and describing them."""
