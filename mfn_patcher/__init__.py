"""Patch insightface at a pinned commit, verify it, and train MobileFaceNet."""

__version__ = "0.1.0"
