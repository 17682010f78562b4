"""Making a data set from a folder or a list of face images."""
