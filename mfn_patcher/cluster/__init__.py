"""Training on several hosts: MXNet's parameter server, started by MPI, Slurm or ssh."""
