"""Starting nodes on one machine, embedded Valkey included, and keeping them running.

The API and the workers are started as programs; this package imports neither.

launcher       a whole node
launch         several nodes, started together and kept running
peer_router    the router between them, which parts them on request
node_plan      what is to be started
node_files     a node's files, and how other commands find it
node_register  where the nodes of this user run, whatever their data directories
made_chain     development chains made from options
ephemeral      data directories that end with their owner
embedded       the Valkey server, with `ownership` (one server on a directory), `server_files` (its password and
               configuration), `last_words` (why it did not start) and `keeper` (restarting it)
state          loading a state file before a node starts, and writing it after it has ended
reset          removing the chains of stopped nodes
supervisor     child processes, restarted when they die
children       one child process, and the ordinary way to start one
nursery        children that are forked from one process, `nursery_program`, which has imported what they need
               (`nursery_process`)
running        questions to a node that is starting
ports          reserving ports
addresses      where the servers of a node are reached
failures       why a node does not start
log_files      logs of bounded size
ending         ending a process in time
"""
