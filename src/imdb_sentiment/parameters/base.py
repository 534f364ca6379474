"""What all parameter models have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Parameters(BaseModel):
    """Base of all parameter models: immutable, and strict about names.

    Numbers may stand for text, so that labels such as 0 and 1 need no quotes in YAML.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
