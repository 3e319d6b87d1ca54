"""What a development node keeps besides its chain: which run it is, and whose turn it is to set balances."""

from services.store.base import NodeStore


class DevelopmentStore(NodeStore):
    """The run and the turn of one node."""

    def begin_run(self, token: str) -> None:
        """Note that a run of the node begins. `token` is random, so that clients can tell runs apart."""
        self._redis.set(self.keys.run, token)

    def run(self) -> str:
        """The token of this run; "" if no run has begun."""
        return (self._redis.get(self.keys.run) or b"").decode()

    def take_turn(self, token: str, seconds: float) -> bool:
        """Take the turn for at most so many seconds; False if another has it. `token` names the caller."""
        return bool(self._scripts.run("turn", [self.keys.prefix], [token, int(seconds * 1000)]))

    def give_turn(self, token: str) -> None:
        """Give the turn back, if `token` has it."""
        self._scripts.run("turn", [self.keys.prefix], [token, 0])
