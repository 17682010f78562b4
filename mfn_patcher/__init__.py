"""Keep patches on a pinned upstream, and train MobileFaceNet with those on insightface."""

__version__ = "0.1.0"
