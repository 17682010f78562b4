"""Patches on a pinned upstream. Nothing here knows about training."""
