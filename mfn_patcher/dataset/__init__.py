"""The RecordIO data set that the training script reads: reading, checking, synthesising."""
