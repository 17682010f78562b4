"""Training recipes as data: the built-in ones and the user's own, and published accuracies."""

DEFAULT = "mobilefacenet"
"""The recipe that is used when none is named: the documented one."""
