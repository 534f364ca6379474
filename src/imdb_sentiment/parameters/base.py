"""The base class of all parameter models, which refuses unknown names in a group of parameters.

`framework/hooks.py` refuses unknown groups.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]
# NumPy takes 32 bits; the higher half is left for what is added to the seed, as for each trial.
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Parameters(BaseModel):
    """Base of all parameter models: immutable, with finite numbers, and without unknown keys.

    Numbers are accepted where text is expected, so that labels such as 0 and 1 need no quotes in
    YAML.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False
    )
