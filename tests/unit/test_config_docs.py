"""The generated schema and key list: in step with the code, and true."""

import jsonschema
import pytest
import yaml

from longhot import config_docs
from longhot.config import Study, load, load_file

CONFIGS = sorted(config_docs.CONFIG_FOLDER.glob("*.yaml"))


def test_generated_files_are_up_to_date() -> None:
    for path, text in config_docs.texts().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date, run `make docs`"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_file_is_valid(path) -> None:  # type: ignore[no-untyped-def]
    load_file(path)
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), config_docs.schema())


def test_example_is_valid_and_gives_the_models_that_the_text_names() -> None:
    raw = yaml.safe_load(config_docs.EXAMPLE)
    jsonschema.validate(raw, config_docs.schema())
    study = load(raw)
    assert len(study.variants()) == 4
    assert all(f"`{name}`" in config_docs.INTRODUCTION for name in study.variants())


def test_schema_refuses_what_the_classes_refuse() -> None:
    validator = jsonschema.Draft202012Validator(config_docs.schema())
    raw = yaml.safe_load(config_docs.EXAMPLE)
    raw["models"]["mace"]["chanels"] = 16
    assert not validator.is_valid(raw)
    raw["models"]["mace"] = {"family": "none-such"}
    assert not validator.is_valid(raw)


def test_every_field_is_described() -> None:
    blocks = [
        Study,
        *(config for field in config_docs.PLUGINS for config in config_docs.plugin_configs(field).values()),
    ]
    seen = set()
    while blocks:
        block = blocks.pop()
        if block in seen:
            continue
        seen.add(block)
        assert block.__doc__, block
        for name, field in block.model_fields.items():
            assert field.description, f"{block.__module__}.{block.__name__}.{name} has no description"
            blocks += config_docs.blocks_in(field)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer", "exclusiveMinimum": 0}, "integer > 0"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "number ≥ 0 and < 1"),
        ({"type": "array", "items": {"type": "number"}}, "list of number"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text, or none"),
        ({"enum": ["a", "b"]}, "`a`, `b`"),
        (
            {"type": "object", "additionalProperties": {"type": "string", "format": "path"}},
            "mapping from names to path",
        ),
        ({"type": "boolean"}, "`true`, `false`"),
        ({"$ref": "#/x"}, "block"),
    ],
)
def test_type_text(schema: dict, text: str) -> None:
    assert config_docs.type_text(schema) == text
