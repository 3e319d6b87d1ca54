"""Commands that start a node, watch it or look after it.

up.py         `quarry up`
foreground.py  running its nodes until a signal comes, which `interruption` notices
banner.py     what `quarry up` prints when its nodes are ready
event_lines.py  the lines that it prints for what happens then
watching.py   reading what happens, and printing it
logs.py       `quarry logs`; log_tail.py follows a log
reset.py      `quarry reset`
backup.py     `quarry backup`; backup_source.py finds the node and reads it
restore.py    `quarry restore`
new_chain.py  the options of `quarry up` that make a chain
state_files.py  the options of `quarry up` for state files
demo.py       `quarry demo`
attack.py     `quarry attack`, which becomes the lab's program for attacks
lab.py        `quarry lab`, which becomes the lab's program
processes.py  `quarry api`, `quarry rpc`, `quarry worker`, `quarry ticker`: one process of a node
status.py     `quarry status`
mine.py       `quarry mine`
fork.py       `quarry fork`
limit.py      `quarry limit`
peers.py      `quarry peers`
names.py      `quarry names`
token.py      `quarry token`
voucher.py    `quarry voucher`
doctor.py     `quarry doctor`; machine.py has what it checks of this machine
bench.py      `quarry bench`
"""
