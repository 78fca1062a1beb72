"""What every section of a configuration is made of: its base and the kinds of values that return in many."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
PATH_PATTERN = r"^[a-z][a-z0-9_]*(/[a-z0-9][a-z0-9_]*)+$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, description="lower case, digits and underscores")]
SignalName = Annotated[str, Field(pattern=PATH_PATTERN, description="equipment/name, below the line")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of every section: unknown keys are faults, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
