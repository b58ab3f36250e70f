"""Config files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from longhot.block import InputError, one_line, shown
from longhot.config.study import Study, load

LARGEST_FILE_BYTES = 1_000_000


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML readers keep the last without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, Any]] = set()
        for key, _ in node.value:
            name = (key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key))
            if name in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"the key {shown(key.value)} stands twice", key.start_mark
                )
            seen.add(name)
        return node


def read_file(path: str | Path) -> dict[str, Any]:
    """Read a YAML config file as plain data.

    Raises:
        InputError: no such file, no text, too large, no YAML, a key that stands twice, or no mapping.
    """
    try:
        text = Path(path).read_bytes()
        if len(text) > LARGEST_FILE_BYTES:
            raise InputError(f"{path}: larger than {LARGEST_FILE_BYTES // 1000} kB, give a config file")
        raw = yaml.load(text.decode("utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), correct the path") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deep, flatten it") from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: no valid YAML ({_yaml_fault(error)}), correct it") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: must hold a mapping of blocks")
    return raw


def _yaml_fault(error: Exception) -> str:
    """What is wrong with a YAML text, and in which line."""
    text = str(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        text = f"line {error.problem_mark.line + 1}: {error.problem}"
    return one_line(" ".join(text.split()))[:200]


def load_file(path: str | Path) -> Study:
    """Read and validate a YAML config file.

    Raises:
        InputError: as in ``read_file`` and ``load``.
    """
    return load(read_file(path))
