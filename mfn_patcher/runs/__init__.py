"""Recorded runs: their record, log, summary, plots and report."""
