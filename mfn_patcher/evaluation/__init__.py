"""Evaluating checkpoints on verification sets by upstream's own protocol."""
