"""Watching a training run: alarms, the live display and the accuracy gate."""
