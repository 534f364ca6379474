"""Explanations of invalid parameters, for the people who have set them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from imdb_sentiment.errors import suggest_name
from imdb_sentiment.framework.lineage import flatten

MAX_VALUE = 50  # maximum number of characters of a value in a message
NAMES = {  # of the types in a JSON Schema
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a group of parameters",
    "string": "text",
}
# Bounds of numbers in a JSON Schema.
BOUNDS = {
    "minimum": "of at least {}",
    "exclusiveMinimum": "greater than {}",
    "maximum": "of at most {}",
    "exclusiveMaximum": "less than {}",
}


def explain_problems(error: ValidationError, group: str, model: type[BaseModel]) -> str:
    """Return what is wrong with a group of parameters, in one line.

    Args:
        error: Error that the model of the group has raised.
        group: Name of the group, such as `tuning`.
        model: Model of the group.

    """
    schema = model.model_json_schema()
    problems = error.errors()  # one for each type that a value might have had
    places = {id(problem): _find_schema(schema, problem["loc"])[0] for problem in problems}
    deepest = [
        problem
        for problem in problems
        if problem["type"] == "extra_forbidden"
        or not any(_is_within(place, places[id(problem)]) for place in places.values())
    ]
    return "; ".join(dict.fromkeys(_explain(problem, group, schema) for problem in deepest))


def explain_inexact(values: Mapping[str, Any], found: BaseModel, group: str) -> str | None:
    """Return which value pydantic has only taken for a number, or for true or false, in one line.

    A node that reads a single parameter gets it as it is in conf/, such as "64" or 64.0 for 64.

    Args:
        values: The group of parameters as it is in conf/.
        found: The group as pydantic has read it.
        group: Name of the group, such as `tuning`.

    """
    exact: dict[type, set[type]] = {bool: {bool}, int: {int}, float: {int, float}}
    read = dict(flatten(found.model_dump()))
    for name, value in flatten(values):
        kind = type(read.get(name))
        if type(value) not in exact.get(kind, {type(value)}):
            problem = {"type": "inexact", "loc": _locate(values, name), "input": value}
            hint = ", without a point or an exponent" if (kind, type(value)) == (int, float) else ""
            return _explain(problem, group, type(found).model_json_schema()) + hint
    return None


def _locate(values: Any, name: str) -> list[str]:
    """Return a parameter's place as pydantic has it: with the type of a group that may be any."""
    place: list[str] = []
    for part in name.split("."):
        place.append(part)
        values = values.get(part) if isinstance(values, Mapping) else None
        if isinstance(values, Mapping) and isinstance(values.get("type"), str):
            place.append(values["type"])
    return place


def _is_within(names: Sequence[str], outer: Sequence[str]) -> bool:
    return len(names) > len(outer) and names[: len(outer)] == outer


def _explain(problem: Mapping[str, Any], group: str, schema: dict[str, Any]) -> str:
    place = problem["loc"]
    names, allowed = _find_schema(schema, place)
    name = ".".join([group, *names])
    match problem["type"]:
        case "extra_forbidden":
            types = _list_types(allowed, schema)
            known = [key for one in types for key in one.get("properties", ())]
            return f"there is no parameter '{name}.{place[-1]}': {suggest_name(place[-1], known)}"
        case "missing":
            return f"{name} is missing"
        case "value_error":  # of the project's own validators
            return f"{name}: {problem['msg'].removeprefix('Value error, ')}"
    value = problem["input"]
    shown = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    words = _join(list(dict.fromkeys(_describe(allowed, schema))))
    why = ", which is not finite" if problem["type"] == "finite_number" else ""
    return f"{name} is {shown[:MAX_VALUE]}{why}: it must be {words}"


def _find_schema(
    schema: dict[str, Any], place: Sequence[int | str]
) -> tuple[list[str], dict[str, Any]]:
    """Return the names of parameters in a location of pydantic's, and the schema there.

    Other names in the location say which of several types pydantic has tried.
    """
    names: list[str] = []
    here = schema
    for part in place:
        if "[" in str(part):  # as in `dict[str,float]`
            continue
        tags = here.get("discriminator", {}).get("mapping", {})
        if part in tags:
            here = _resolve({"$ref": tags[part]}, schema)
            continue
        inner = (
            one.get("properties", {}).get(part)
            or one.get("items" if isinstance(part, int) else "additionalProperties")
            for one in _list_types(here, schema)
        )
        following = next(filter(None, inner), None)
        if following is None:
            break
        names.append(str(part))
        here = _resolve(following, schema)
    return names, here


def _list_types(part: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [_resolve(one, schema) for one in part.get("anyOf", [part])]


def _resolve(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = part.get("$ref", "").rpartition("/")[2]
    return dict(schema["$defs"][name]) if name else part


def _describe(part: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """Yield the kinds of values that a schema allows, in words."""
    part = _resolve(part, schema)
    kind = part.get("type")
    if "discriminator" in part:
        found = part["discriminator"]
        yield f"a group whose {found['propertyName']} is {_join(list(found['mapping']))}"
    elif "anyOf" in part:
        for option in part["anyOf"]:
            yield from _describe(option, schema)
    elif "const" in part or "enum" in part:
        yield from map(str, part.get("enum", [part.get("const")]))
    elif kind in ("integer", "number"):
        bounds = [words.format(part[key]) for key, words in BOUNDS.items() if key in part]
        yield " ".join([NAMES[kind], " and ".join(bounds)]).strip()
    elif kind == "array":
        least = part.get("minItems")
        yield f"a list of at least {least} values" if least else "a list"
    else:
        yield NAMES.get(str(kind), str(kind))


def _join(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
