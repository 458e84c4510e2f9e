"""Define what all records of a run have in common: they cannot be changed, and what a newer writer adds is kept."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A record that a program of ours wrote, read back as it stands."""

    model_config = ConfigDict(extra="allow", frozen=True)
