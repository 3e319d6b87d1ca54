"""The names that the operator has given to addresses. They are this node's own: no peer and no block sees them."""

from typing import Literal, cast

from services.store.base import NodeStore


class NameStore(NodeStore):
    """The given names of one node."""

    def all(self) -> dict[str, str]:
        """Address → name."""
        found = self._redis.hgetall(self.keys.names)
        return {address.decode(): entry.decode().partition("\n")[2] for address, entry in found.items()}

    def revision(self) -> bytes:
        """A token that is another after each change of a name; empty before the first."""
        return self._redis.get(self.keys.names_revision) or b""

    def give(
        self, address: str, name: str, compared: str, most: int, revision: str
    ) -> tuple[Literal["done", "taken", "full"], str]:
        """Give an address a name; it replaces the one that the address had.

        Args:
            compared: the name in the form in which no two may be equal; without line breaks.
            most: how many addresses may have a name.
            revision: a token that was never used before.

        Returns:
            what came of it; and with "taken", the address that has the name.
        """
        outcome, *owner = self._scripts.run("set_name", [self.keys.prefix], [address, name, compared, most, revision])
        return cast(Literal["done", "taken", "full"], outcome.decode()), owner[0].decode() if owner else ""

    def remove(self, address: str, revision: str) -> bool:
        """Take an address's name away. Returns whether it had one. `revision`: as for `give`."""
        return bool(self._scripts.run("set_name", [self.keys.prefix], [address, "", "", 0, revision])[0] == b"done")
