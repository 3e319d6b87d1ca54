"""The images and the compose cluster on a real container engine: `make image-test`, as `python -m tests.image`.

- `machine.py`: what this machine lacks, and what an engine changes on it, which is undone
- `engine.py`: Docker's daemon of our own, in a temporary directory, and calls of its client
- `base.py`: what the images are built from, without a registry: Debian by debootstrap, and the wheels of the locks
- `checkout.py`: build contexts: this checkout with the strictest modes and with secrets in it, and an earlier commit
- `cluster.py`: the project of docker-compose.yml: its containers, their health, what runs in them
- `edge.py`: requests of a stranger to the proxy of the profile `edge`
- `steps.py`: the steps of the test, in order
"""
