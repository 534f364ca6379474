"""Commands in messages: values as `--params` of Kedro reads them, and words as the shell does."""

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

SERVE = "imdb-sentiment serve"
IS_WINDOWS = os.name == "nt"
_IN_BRACKETS = re.compile(r"(?! )[^,=\[\]\\]+(?<! )")


def quote_word(word: str) -> str:
    """Return a word as the shell of this system reads it: a POSIX shell, PowerShell or cmd.exe.

    The latter have other quotation marks, and PowerShell divides words at commas. For these, words
    with a quotation mark, or with a backslash at the end, are not quoted correctly.
    """
    if not IS_WINDOWS:
        return shlex.quote(word)
    return word if re.fullmatch(r"[\w.:/\\=+-]+", word) else f'"{word}"'


def join_words(words: Iterable[str]) -> str:
    """Return the words of a command, quoted for the shell of this system."""
    return " ".join(map(quote_word, words))


def join_values(values: Mapping[str, Any]) -> str:
    """Return values by their dotted names, without those that can't be given, as one argument."""
    quoted = {name: quote_value(value) for name, value in spell_out(values).items()}
    return ",".join(f"{name}={text}" for name, text in quoted.items() if text is not None)


def spell_out(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by names that `--params` reads, such as `training.class_weight[Node.js]`.

    A group stays one value if one of its names would be read otherwise.
    """
    spelt: dict[str, Any] = {}
    for name, value in values.items():
        parts = value if isinstance(value, dict) else {}
        if parts and all(_IN_BRACKETS.fullmatch(str(key)) for key in parts):
            spelt |= {f"{name}[{key}]": part for key, part in parts.items()}
        else:
            spelt[name] = value
    return spelt


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
