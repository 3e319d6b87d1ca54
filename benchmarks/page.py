"""`python -m benchmarks.page FILE.json`: make the tables of docs/benchmarks/README.md from the output of `--json`."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import number

_SIGN = {"higher": "≥", "lower": "≤"}


def tables(document: dict[str, Any]) -> str:
    """Markdown: the machine and date, and one table for each group of figures."""
    where = document["machine"]
    lines = [
        f"{where['processor']}, {where['cores']} cores, {where['system']}, Python {where['python']} · {where['date']} "
        f"· commit `{where['commit']}` · load average {where['load_average']} when it began."
    ]
    group = ""
    for name, figure in document["figures"].items():
        if name.partition(".")[0] != group:
            group = name.partition(".")[0]
            lines += [
                "",
                f"**{group}**",
                "",
                "| figure | measured | target | compared with |",
                "| --- | ---: | --- | --- |",
            ]
        lines.append(
            f"| `{name}` | {number(figure['value'])} {figure['unit']} | {_target(figure)} | {figure['than']} |"
        )
    return "\n".join(lines)


def _target(figure: dict[str, Any]) -> str:
    if figure["target"] is None:
        return ""
    return f"{_SIGN[figure['better']]} {number(figure['target'])}, {'met' if figure['met'] else '**missed**'}"


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
