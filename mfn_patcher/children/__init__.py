"""Programs that run in the training interpreter, and that interpreter itself."""
