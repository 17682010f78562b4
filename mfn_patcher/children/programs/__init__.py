"""Small programs for the training interpreter: arguments in, JSON out."""
