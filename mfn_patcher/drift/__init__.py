"""The patch series against other revisions of upstream."""
