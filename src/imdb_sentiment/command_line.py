"""Values as the option `--params` of Kedro reads them."""

import json
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError


def join_values(values: Mapping[str, Any]) -> str:
    """Return values by their dotted names, without those that can't be given, as one argument."""
    quoted = {name: quote_value(value) for name, value in values.items()}
    return ",".join(f"{name}={text}" for name, text in quoted.items() if text is not None)


def quote_value(value: Any) -> str | None:
    """Return a value as Kedro's `--params` reads it, or None if it can't be given there."""
    if isinstance(value, list | dict):
        return None
    text = json.dumps(value)
    if isinstance(value, str):
        text = value if _is_read_back(value, value) else "'" + value.replace("'", "''") + "'"
    return text if _is_read_back(text, value) else None


def _is_read_back(text: str, value: Any) -> bool:
    if "," in text or text != text.strip():
        return False
    try:
        read = OmegaConf.from_dotlist([f"value={text}"])
        return bool(OmegaConf.to_container(read) == {"value": value})
    except (OmegaConfBaseException, YAMLError):
        return False
