"""Training on several hosts, started by MPI, Slurm or ssh.

Each rank is one process of the tool. Rank 0 leads: it compares the hosts, tells the others which
stage to train, watches all of them and keeps the record. The modules, from the bottom up:

* `ranks`, `rendezvous`, `hosts`, `job`, `ssh`: which ranks there are, where, and starting them
* `roles`, `rank_processes`: the processes that a rank starts: a worker, and what MXNet needs beside
* `protocol`, `ports`: messages between ranks, and the ports they need
* `agreement`: host facts that must agree
* `heartbeat`, `stall`: which rank is lost or late
* `membership`, `preflight`, `watchdog`, `lead`: rank 0; `link`, `follower`: every other rank
* `train`, `role_commands`: what the command `train` calls
* `scaling`: how many hosts are worth having
"""
