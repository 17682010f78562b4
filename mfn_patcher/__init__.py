"""Patch insightface at a pinned commit, verify it, and train MobileFaceNet."""
