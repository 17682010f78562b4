"""Patch insightface at a pinned commit, prove it, and train MobileFaceNet with it."""
