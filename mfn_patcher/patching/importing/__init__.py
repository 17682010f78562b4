"""Importing others' patches: quilt series, mails, plain diffs, and branches of a clone."""
