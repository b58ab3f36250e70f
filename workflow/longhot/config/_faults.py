"""What is wrong with a config, in sentences."""

from __future__ import annotations

import re

from pydantic import ValidationError

from longhot.block import MOST_FAULTS, one_line, shown

_PLAIN_WORDS = {
    "extra_forbidden": "unknown key, remove it or correct its spelling (config/README.md lists all keys)",
    "missing": "missing, add it",
    "model_type": "must be a block of keys",
    "dict_type": "must be a mapping",
    "too_short": "must not be empty",
    "list_type": "must be a list",
    "string_type": "must be text",
    "string_pattern_mismatch": "may hold only letters, digits, dots, dashes and underscores",
}
_UNION_MEMBER = re.compile(r"(int|float|str|bool|constrained-\w+|(list|dict|literal|tuple|function-\w+)\[.*\])")


def sentences(error: ValidationError, prefix: str = "") -> str:
    """One line for each fault: where it is, and what is wrong."""
    faults: dict[str, list[str]] = {}
    for fault in error.errors():
        # Pydantic puts the members of a union among the keys: one key, several ways to be wrong.
        loc = [one_line(str(part)) for part in fault["loc"] if not _UNION_MEMBER.fullmatch(str(part))]
        where = ".".join([*([prefix] if prefix else []), *loc])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] != "value_error":
            message = _PLAIN_WORDS.get(fault["type"], message.replace("Input should", "must", 1))
            where = where or "config"
            if fault["type"] not in ("extra_forbidden", "missing"):
                message += f", is {shown(fault['input'])}"
        elif not where or message.startswith((f"{where}.", f"{where}:")):
            where = ""  # the message names its key itself
        faults.setdefault(where, []).append(message)
    own = faults.pop("", [])
    lines = own + [f"{where}: {' or '.join(dict.fromkeys(messages))}" for where, messages in faults.items()]
    if len(lines) > MOST_FAULTS:
        lines[MOST_FAULTS:] = [f"and {len(lines) - MOST_FAULTS} more faults, mend these first"]
    return "\n".join(lines)
