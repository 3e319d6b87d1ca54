"""Commands that start a node, watch it or look after it.

up.py           `quarry up`
state_files.py  the options of `quarry up` for state files
demo.py         `quarry demo`
processes.py    `quarry api`, `quarry worker`, `quarry ticker`: one process of a node
status.py       `quarry status`
mine.py         `quarry mine`
fork.py         `quarry fork`
peers.py        `quarry peers`
doctor.py       `quarry doctor`
bench.py        `quarry bench`
"""
