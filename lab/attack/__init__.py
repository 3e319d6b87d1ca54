"""Attacks on an application of the user's own, which watches a node of a lab on this machine.

- `application`: asks the application whether it credits a payment
- `double_spend`: pays it, and takes the payment back
- `asked`: what an attack is told to do, checked
- `joining`: a lab that runs already does the attack
- `cli`: `quarry attack`
"""
