"""What a mistyped word may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches

import click

from api.cli.usage import known_elsewhere

_MOST = 3
_LONGEST = 80  # characters of a word that are looked at


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A blank and a question that names the known words most like `word`; "" if none is like it."""
    by_lower = {item.lower(): item for item in known}
    close = [by_lower[item] for item in get_close_matches(word[:_LONGEST].lower(), by_lower, _MOST)]
    if not close:
        return ""
    return f" Did you mean {' or '.join(close)}?"


class Group(click.Group):
    """A group of commands that says which command a mistyped one may have meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            known = self.list_commands(ctx)
            meant = known_elsewhere(ctx.command_path, name) or did_you_mean(name, known)
            meant = meant or f" The commands are {', '.join(known)}."
            raise click.UsageError(f"No such command {name[:_LONGEST]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)
