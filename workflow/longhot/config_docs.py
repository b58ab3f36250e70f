"""Write ``config/schema.json`` and ``config/README.md`` from the config classes: ``python -m longhot.config_docs``."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

import longhot.datasets
import longhot.models
import longhot.references
from longhot.block import Block, plugin, plugin_names
from longhot.config import Name, Study
from longhot.files import write_text

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "config"
PLUGINS: dict[str, tuple[types.ModuleType, str]] = {
    "references": (longhot.references, "method"),
    "datasets": (longhot.datasets, "source"),
    "models": (longhot.models, "family"),
}
"""Package and selector of each block whose contents a plugin file describes."""

EXAMPLE = """\
study:
  name: my-molecule
  question: How many of my frames does a potential need to survive 10 ps at 600 K?
references:
  xtb:
    method: xtb
datasets:
  mine:
    source: extxyz
    train_pool: data/train.extxyz
    valid: data/valid.extxyz
    test_sets:
      test: data/test.extxyz
    reference: xtb
models:
  mace:
    family: mace
    gradient_steps: 2000
    sweep:
      - max_L: [0, 1]
        correlation: [2, 3]
learning_curves:
  train_sizes: [50, 100, 200]
robustness:
  models: [mace-L1-nu2]
  train_sizes: [50, 200]
  protocol:
    temperatures_K: [300, 600]
"""

INTRODUCTION = """\
# The config file

<!-- Written by `make docs` from the code: edit the classes, not this file. -->

One YAML file states one question, and `snakemake --cores all --configfile config/<file>.yaml` answers it in
`results/<study name>/`. `snakemake -n` checks a file without running anything: an unknown key, a wrong type or a name
that does not exist ends it with one line that says where. Data files are opened by the first jobs, not by `-n`; their
paths are relative to the folder where Snakemake runs. The models of a sweep are named by what tells them apart, such
as `mace-L1-nu2`: `L` is max_L, `nu` the correlation, `c` the channels, `t` the layers, `r` r_max_A. Editors that know
JSON schemas complete and check keys as you type when the first line of the file is `# yaml-language-server:
$schema=schema.json`.

Every number carries its unit in the name of its key: `_K` kelvin, `_fs` and `_ps` femto- and picoseconds, `_s`
seconds, `_A` angstrom, `_eV` electronvolt. A key without a default must be given. A question whose block is absent
is not asked. The keys of a block inside a block stand in the table under its path, once where several blocks share it.

## Example: your own frames

{example}
The sweep gives four models, `mace-L0-nu2`, `mace-L0-nu3`, `mace-L1-nu2` and `mace-L1-nu3`; each is fitted to three
training sizes with two seeds. One of them then runs MD, with GFN2-xTB as the control and as the judge of the frames
that it visits. The other files in this folder are further examples.

## Blocks

"""


def plugin_configs(field: str) -> dict[str, type[Block]]:
    """The ``Config`` class of each plugin of a block, by plugin name."""
    package, _ = PLUGINS[field]
    return {name: plugin(package, name).Config for name in plugin_names(package)}


def schema() -> dict[str, Any]:
    """JSON schema of a whole config file, every plugin's keys included."""
    configs = {field: list(plugin_configs(field).values()) for field in PLUGINS}
    classes: list[type[Block]] = [Study, *(config for group in configs.values() for config in group)]
    references, definitions = models_json_schema([(one, "validation") for one in classes])
    full = _without_titles(definitions["$defs"])
    top = full.pop(references[Study, "validation"]["$ref"].rpartition("/")[2])
    for field, group in configs.items():
        choices = [references[config, "validation"] for config in group]
        (pattern,) = top["properties"][field]["patternProperties"]
        top["properties"][field] |= {"patternProperties": {pattern: {"anyOf": choices}}, "additionalProperties": False}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Longhot config", **top, "$defs": full}


def _without_titles(node: Any, names: bool = True) -> Any:
    """Drop the titles that pydantic derives from the names; ``names``: the keys of ``node`` are names, not keywords."""
    if isinstance(node, list):
        return [_without_titles(one, names=False) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_titles(value, names=not names and key in ("properties", "$defs"))
        for key, value in node.items()
        if names or key != "title"
    }


def readme() -> str:
    """Text of config/README.md: every key of every block."""
    sections = [INTRODUCTION.format(example=_fenced(EXAMPLE))]
    for name, field in Study.model_fields.items():
        if name in PLUGINS:
            sections.append(_plugin_section(name, field))
        else:
            (block,) = blocks_in(field)
            needed = "" if field.is_required() else f" {field.description}"
            sections.append(f"### `{name}`\n\n{_first_paragraph(block)}{needed}\n\n{_tables(block, name)}")
    return "\n".join(section.rstrip("\n") + "\n" for section in sections)


def _plugin_section(name: str, field: FieldInfo) -> str:
    _, selector = PLUGINS[name]
    parts = [f"### `{name}`\n\n{field.description}\n"]
    told: set[type[Block]] = set()
    for choice, config in plugin_configs(name).items():
        head = f"#### `{selector}: {choice}`\n\n{_first_paragraph(config)}"
        parts.append(f"{head}\n\n{_tables(config, f'{name}.<name>', selector, told)}")
    return "\n".join(parts)


def _tables(block: type[Block], path: str, selector: str | None = None, told: set[type[Block]] | None = None) -> str:
    """Table of a block's keys, then those of the blocks inside it, each under its path.

    Args:
        block: the class.
        path: where the block stands in the file.
        selector: the key that names the plugin; it heads the table and must be given.
        told: blocks that have been described already; it grows.
    """
    told = set() if told is None else told
    properties = block.model_json_schema()["properties"]
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    inner = []
    for key, field in sorted(block.model_fields.items(), key=lambda item: item[0] != selector):
        default = "must be given" if key == selector else _default_text(field)
        cells = (f"`{key}`", type_text(properties[key]), default, field.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        for sub in blocks_in(field):
            if sub not in told:
                told.add(sub)
                inner.append((sub, f"{path}.{key}"))
    text = "\n".join(rows) + "\n"
    return text + "".join(
        f"\n**`{at}`**: {_first_paragraph(sub)}\n\n{_tables(sub, at, None, told)}" for sub, at in inner
    )


NAME_PATTERN = TypeAdapter(Name).json_schema()["pattern"]


def type_text(schema: dict[str, Any]) -> str:
    """A JSON schema node in words, such as ``list of integer > 0``."""
    if "$ref" in schema:
        return "block"
    if "anyOf" in schema:
        choices = [type_text(one) for one in schema["anyOf"] if one != {"type": "null"}]
        return " or ".join(choices) + (", or none" if {"type": "null"} in schema["anyOf"] else "")
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{_yaml_text(value)}`" for value in schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return "[" + ", ".join(type_text(one) for one in schema["prefixItems"]) + "]"
        case "array":
            return f"list of {type_text(schema.get('items', {}))}"
        case "object":
            values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
            return f"mapping from names to {type_text(next((one for one in values if isinstance(one, dict)), {}))}"
        case "integer" | "number" as kind:
            return kind + _limits_text(schema)
        case "string":
            return {"path": "path"}.get(
                schema.get("format", ""), "name" if schema.get("pattern") == NAME_PATTERN else "text"
            )
        case "boolean":
            return "`true`, `false`"
    return "any"


def _limits_text(schema: dict[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return " " + " and ".join(limits) if limits else ""


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, Block):
        value = value.model_dump(exclude_unset=True)
        return f"`{_yaml_text(value)}`" if value else "its defaults"
    return f"`{_yaml_text(value)}`"


def _yaml_text(value: Any) -> str:
    """A value as it is written in a config file, on one line."""
    return value if isinstance(value, str) else json.dumps(value)


def blocks_in(field: FieldInfo) -> list[type[Block]]:
    """Block classes that a field's type holds, in whatever containers and unions."""
    found: list[type[Block]] = []
    waiting: list[Any] = [field.annotation]
    while waiting:
        annotation = waiting.pop(0)
        if isinstance(annotation, type) and issubclass(annotation, Block):
            found.append(annotation)
        waiting += get_args(annotation)
    return found


def _first_paragraph(block: type[Block]) -> str:
    return " ".join((block.__doc__ or "").split("\n\n")[0].split())


def _fenced(text: str) -> str:
    return f"```yaml\n{text}```\n"


def texts() -> dict[Path, str]:
    """Text of every generated file of config/."""
    return {
        CONFIG_FOLDER / "schema.json": json.dumps(schema(), indent=2) + "\n",
        CONFIG_FOLDER / "README.md": readme(),
    }


if __name__ == "__main__":
    for path, text in texts().items():
        write_text(path, text)
        print(f"wrote {path}")
