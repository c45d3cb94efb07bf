"""Sweeps: a search over Plans. Everything of optuna is in this package.

space        what may stand at each site, and the one function that makes a Plan of an Optuna trial
store        where studies live, opened, checked and read as rows
front        which trials no other trial beats
worker       the process that trains and times one Plan at a time; knows no study
local        the engine that runs workers on this machine
coordinator  the one process that asks, dispatches and tells
launch       start, watch and stop a coordinator from another process
"""
