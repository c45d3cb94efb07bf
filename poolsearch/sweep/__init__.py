"""Sweeps: a search over Plans. Everything of optuna is in this package.

One process, the coordinator, asks and tells; engines run the trials; whoever else looks only reads.

folder/    a sweep's folder, who holds it, the queue of sweeps, and commands to one that runs
search/    which Plans there are, which comes next, and which are on the front
study/     the study: its storage, its one writer, and readers, for whoever else looks
engines/   where trials run, on this machine or on a cluster; the worker trains and times one Plan at a time
running/   one run of a sweep: its state, its loop and its end; sweeps in processes of their own
"""
