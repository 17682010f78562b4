"""The training interpreter, the programs that run in it, and what they answer."""
