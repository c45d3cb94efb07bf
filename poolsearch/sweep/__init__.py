"""Sweeps: a search over Plans. Everything of optuna is in this package.

One process, the coordinator, asks and tells; engines run the trials; whoever else looks only reads.

space, proposals             which Plans there are, and which comes next
run, coordinator             one run of a sweep, and its loop; control, timing, results and clock are parts of it
engine, local, cluster       where trials run; worker is the process that trains and times one Plan at a time
ledger, storage              the study as its one writer sees it
store, front                 the study as rows, for whoever reads
folder, lease, turns         a sweep's folder, who holds it, and whose turn it is
launch, commands             start a sweep in a process of its own, and steer it
"""
