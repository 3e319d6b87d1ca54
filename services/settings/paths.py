"""Paths that people write: `~` stands for a home directory, which not every user has."""

from pathlib import Path

from services.settings.values import BadValue

DEFAULT_HOME = "~/.quarry"  # where nodes and wallets are kept


def expanded(text: str) -> Path:
    """`text` as a path; `~` and `~user` are replaced by the home directory.

    Raises:
        BadValue: there is no such home: containers often run under a user without one.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = Path(text).parts[0][1:]
        if user:
            raise BadValue("names the home directory of a user who does not exist.") from None
        raise BadValue("needs a home directory, and this user has none: give an absolute path, or set HOME.") from None


def expanded_if_possible(text: str) -> Path | None:
    """As `expanded`, but None if there is no such home."""
    try:
        return expanded(text)
    except BadValue:
        return None
