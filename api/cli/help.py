"""`quarry help`, and help of a long command in a form that fits a terminal of 24 rows."""

from collections.abc import Mapping
from typing import Any

import click

from api.cli import terminal
from api.cli.group import COMMANDS, MORE, Failure, quarry
from api.cli.suggestions import did_you_mean

_ALL = "quarry.help_all"  # in the context's `meta`: whether every option is to be explained
_WIDEST = 100  # columns


class Abridged(click.Command):
    """A command with more options than a terminal has rows.

    Its --help explains some of them, and names the others; --help-all explains all.

    Args:
        brief: by option, as it stands in the help (`--port NUMBER`), the line that explains it.
    """

    def __init__(self, *arguments: Any, brief: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.brief = dict(brief)
        self.params.append(
            click.Option(
                ["--help-all"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=self._show_all,
                help="Explain all options.",
            )
        )

    @staticmethod
    def _show_all(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
        if wanted and not context.resilient_parsing:
            context.meta[_ALL] = True
            terminal.show(*context.get_help().splitlines())
            context.exit()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if ctx.meta.get(_ALL):
            return super().format_options(ctx, formatter)
        with formatter.section("Options"):
            formatter.write_dl(list(self.brief.items()))
        with formatter.section("More options (--help-all explains them)"):
            # Not through `write_text`, which breaks lines inside the name of an option.
            for line in terminal.folded("  " + " ".join(self.others(ctx)), formatter.width):
                formatter.write(f"{line}\n")

    def others(self, ctx: click.Context) -> list[str]:
        """The options that `brief` does not name."""
        named = {item for row in self.brief for item in row.replace(",", " ").split() if item.startswith("-")}
        return [
            parameter.opts[0]
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option) and not named & {*parameter.opts, *parameter.secondary_opts}
        ]


@click.command(name="help")
@click.argument("names", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def show_help(context: click.Context, names: tuple[str, ...]) -> None:
    """Say what each command does, or show the help of one, such as `quarry help wallet new`."""
    if not names:
        terminal.show(*_all_commands())
        return
    parent = context.parent or click.Context(quarry, info_name="quarry")
    command: click.Command = quarry
    for name in names:
        found = command.get_command(parent, name) if isinstance(command, click.Group) else None
        if found is None:
            known = command.list_commands(parent) if isinstance(command, click.Group) else []
            meant = did_you_mean(name, known) or " `quarry help` lists the commands."
            raise Failure(f"No such command {' '.join(names)[:80]!r}.{meant}", 2)
        parent = click.Context(found, info_name=name, parent=parent, terminal_width=context.terminal_width)
        command = found
    terminal.show(*command.get_help(parent).splitlines())


# Commands that have one line together: all lines fit a terminal of 24 rows.
_TOGETHER = (
    ("faucet", "tx"),
    ("mine", "limit"),
    ("chain", "upgrade"),
    ("peers", "names"),
    ("token", "voucher"),
    ("backup", "restore"),
    ("lab", "attack"),
)
_PROCESSES = "Run one process of a node, or mine for one."


def _all_commands() -> list[str]:
    apart = {*(name for names in _TOGETHER for name in names), *MORE["processes"], "help"}
    together = {line: [name] for name, (_, _, line) in COMMANDS.items() if name not in apart}
    together |= {" ".join(COMMANDS[name][2] for name in names): list(names) for names in _TOGETHER}
    together[_PROCESSES] = list(MORE["processes"])
    gap = max(len(name) for name in COMMANDS) + 2
    width = min(terminal.width() or _WIDEST, _WIDEST)
    lines = []
    for line, names in together.items():
        name = ", ".join(names)
        lines += terminal.folded(f"{name:{gap}}{line}" if len(name) < gap else f"{name}  {line}", width)
    return lines
