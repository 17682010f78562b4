"""Checks of whether this machine, or several hosts, can train."""
