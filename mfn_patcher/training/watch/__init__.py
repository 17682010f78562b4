"""Watching a training: alarms, the live display and the accuracy gate."""
