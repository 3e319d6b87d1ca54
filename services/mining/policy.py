"""How one node mines, from its settings."""

from dataclasses import dataclass

from services.settings.table import Settings


@dataclass(frozen=True, slots=True)
class MiningPolicy:
    """How one node mines."""

    node: str
    recipient: str  # address that rewards go to; "": the node does not mine
    automine: bool
    max_requests: int  # that may wait
    always: bool = False  # a round is always open
    block_time: float = 0.0  # seconds between two blocks that the ticker asks for; 0: none

    @classmethod
    def of(cls, settings: Settings) -> "MiningPolicy":
        return cls(
            settings.node,
            settings.reward_address,
            settings.automine,
            settings.max_requests,
            always=settings.mine == "always",
            block_time=settings.block_time,
        )

    @property
    def never_idle(self) -> bool:
        """Whether a round is wanted although nothing asks for one."""
        return self.always and bool(self.recipient)

    def automines(self, chosen: bool | None) -> bool:
        """Whether a waiting transaction opens a round. `chosen`: see `Situation.automine`."""
        return bool(self.recipient) and (self.automine if chosen is None else chosen)
