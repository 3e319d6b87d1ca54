"""Commands that start a node, watch it or look after it.

up.py         `quarry up`
demo.py       `quarry demo`
processes.py  `quarry api`, `quarry rpc`, `quarry worker`, `quarry ticker`: one process of a node
status.py     `quarry status`
mine.py       `quarry mine`
peers.py      `quarry peers`
doctor.py     `quarry doctor`; machine.py has what it checks of this machine
bench.py      `quarry bench`
"""
