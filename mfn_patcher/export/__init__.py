"""Exporting trained networks to other formats, verified against the engine, and using them."""
