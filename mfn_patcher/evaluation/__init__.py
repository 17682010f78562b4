"""Evaluating checkpoints on verification sets by the protocol of the training script."""
