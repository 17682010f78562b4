"""Running the training script: command line, process, checkpoints, record of the run."""
