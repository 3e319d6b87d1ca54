"""The lab's page: the block tree of all nodes, a timeline, and controls.

- `app`: the page of a lab that runs, on this machine only
- `controls`: what a control of the page asks of the lab
- `exporting`: a recording as one file that needs no server and no network
"""
