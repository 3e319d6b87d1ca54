"""Run a Quarry node, or a network of them, from a test.

    from quarrynode import QuarryNode

    with QuarryNode() as node:
        node.mine()
        assert node.rpc("eth_blockNumber") == "0x2"

The package starts the command `quarry up` and talks to it over HTTP. It needs the standard library and nothing else, so
it can be copied into another project, and the command may be installed in another environment or be a script.

- `errors`: what can go wrong
- `node`: what a test does with a node
- `process`: the command, from its start to its end
- `plugin`: the fixtures for pytest
- `running`: `QuarryNode` and `QuarryNetwork`
- `wire`: JSON over HTTP
"""

from quarrynode.errors import NodeFailed, QuarryError, RpcError
from quarrynode.node import Account, Node
from quarrynode.running import QuarryNetwork, QuarryNode

__all__ = ["Account", "Node", "NodeFailed", "QuarryError", "QuarryNetwork", "QuarryNode", "RpcError"]
