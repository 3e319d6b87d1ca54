"""Wrong usage in one sentence that says what to type instead, in place of click's words."""

import re

import click

# What people type who know other programs, and what does it here.
_ELSEWHERE = {
    "start": "`quarry up` starts a node.",
    "run": "`quarry up` starts a node.",
    "node": "`quarry up` starts a node, and `quarry status` shows what it is doing.",
    "stop": "Ctrl-C at its `quarry up` stops a node.",
    "down": "Ctrl-C at its `quarry up` stops a node.",
    "version": "`quarry --version` shows it.",
    "block": "`quarry chain show 3` shows block 3.",
    "blocks": "`quarry chain show` shows the last blocks.",
    "transaction": "`quarry tx ID` shows a transaction.",
    "pay": "`quarry send --from WALLET --to ADDRESS 1.5` pays.",
    "transfer": "`quarry send --from WALLET --to ADDRESS 1.5` pays.",
    "accounts": "`quarry wallet accounts` shows the development accounts.",
    "new": "`quarry wallet new NAME` makes a wallet.",
    "config": "Settings are environment variables: docs/settings.md.",
    "clean": "`quarry reset` removes a stopped node's chain.",
    "wallet create": "`quarry wallet new NAME` makes a wallet.",
    "wallet balance": "`quarry balance NAME` shows a balance.",
    "wallet send": "`quarry send --from NAME --to ADDRESS 1.5` pays.",
    "wallet delete": "No command removes a key: a wallet is the directory that `quarry wallet show NAME` names.",
    "wallet remove": "No command removes a key: a wallet is the directory that `quarry wallet show NAME` names.",
}
_NUMBER = re.compile(r"-[0-9.,]+")
_ONE_OF = re.compile(r"\(Did you mean one of: (.*)\?\)")
# click's words about a range, such as `0 is not in the range 1<=x<=100.`
_BETWEEN = re.compile(r"(\S+) is not in the range (\S+?)<=x<=(\S+?)\.$")
_AT_LEAST = re.compile(r"(\S+) is not in the range x>=(\S+?)\.$")


def known_elsewhere(group: str, name: str) -> str:
    """A blank and the sentence for a command that other programs have; "" if there is none.

    Args:
        group: what was typed before it, such as `quarry wallet`.
    """
    said = _ELSEWHERE.get(f"{group} {name}".removeprefix("quarry").strip())
    return f" {said}" if said else ""


def one_sentence(error: click.UsageError, path: str) -> str:
    """What is wrong with the command, and what to type or to read instead.

    Args:
        path: of the command, such as `quarry chain show`, if the error does not know it.
    """
    context = error.ctx
    path = path if context is None else context.command_path
    message = " ".join(error.format_message().split())
    if isinstance(error, click.NoSuchOption) and _NUMBER.fullmatch(error.option_name):
        message = f"No number here is negative: {error.option_name} was taken for an option."
    elif isinstance(error, click.NoSuchOption) and context is not None and context.parent is None:
        message += f"{'' if message.endswith(('.', '?')) else '.'} Options follow the command: quarry COMMAND --option."
    message = _BETWEEN.sub(r"\1 is not between \2 and \3.", message)
    message = _AT_LEAST.sub(r"\1 is below \2.", message)
    message = message.replace("is not a valid integer range", "is not a whole number")
    message = message.replace("is not a valid float range", "is not a number")
    message = _ONE_OF.sub(r"Did you mean \1?", message)
    if not message.endswith((".", "?")):
        message += "."
    # A missing or superfluous word: how the command is typed says more than the name of what is missing.
    if context is not None and (isinstance(error, click.MissingParameter) or "unexpected extra" in message):
        message += f" It is typed: {_synopsis(context)}"
        return f"{message}; see {path} --help."
    return f"{message} See {path} --help."


def no_amount(name: str, text: str) -> str:
    """Why a text is no amount of coins, in a sentence. It does not repeat the text, which may be long.

    Args:
        name: of the option or argument.
    """
    why = ""
    if "," in text:
        why = ": write a point before the decimals, and nothing between thousands"
    elif text.strip().startswith("-"):
        why = ": it cannot be negative"
    elif re.fullmatch(r"[0-9.]+[eE][0-9+-]+", text.strip()):
        why = ": write it without an exponent"
    elif re.fullmatch(r"[0-9.]+ *[A-Za-z]+", text.strip()):
        why = ": leave the name of the coin out"
    return f"{name} must be a number of coins such as 5 or 0.25, with at most 18 decimals{why}."


def _synopsis(context: click.Context) -> str:
    """How a command is typed, with what it needs: `quarry send --from WALLET --to ADDRESS AMOUNT`."""
    words = [context.command_path]
    parameters = context.command.get_params(context)
    for parameter in parameters:
        if isinstance(parameter, click.Option) and parameter.required:
            words += [parameter.opts[0], parameter.make_metavar(context)]
    words += [item.make_metavar(context) for item in parameters if isinstance(item, click.Argument)]
    return " ".join(words)
