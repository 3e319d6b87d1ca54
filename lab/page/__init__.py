"""The lab's page: the block tree of all nodes, a timeline, and controls.

- `app`: the page of a lab that runs, on this machine only
- `serving`: serving pages and controls to this machine only
- `controls`: what a control of the page asks of the lab
- `exercises`: what to do, predict and check, for learners
- `facts`: what can be read from a recording
- `exporting`: a recording as one file that needs no server and no network
"""
