"""The machine under a node.

files        writing files atomically and privately
text_files   reading small text files, secrets among them
processes    the process table, and children that end with their parent
brief        work in a process that ends at once
signals      signals during a step that must not be cut short
interrupts   what Ctrl-C does while a program loads its code or cleans up
programs     starting our own modules as programs
loading      loading a program's modules without the garbage collector
logs         structured logs
allowance    how often something may be done that strangers can cause
quantities   numbers of hashes, speeds and times as people read them
tracing      traces, by OpenTelemetry
visible      making untrusted text safe to show
about        the version
"""
