"""Name the cell of a load test: runs are compared where model, variant and load are called the same."""

from __future__ import annotations

from dataclasses import dataclass

from configs.files.strict import checked_name
from loadgen.spec import LoadSpec
from starwatt_errors import UsageError
from traces.layout import CellKey, model_slug


@dataclass(frozen=True)
class Called:
    """Hold what a person calls what an endpoint serves."""

    model: str | None = None
    """None: the name that requests use."""
    variant: str = "endpoint"

    def key(self, spec: LoadSpec) -> CellKey:
        """Return the cell of a load. Raises UsageError where the variant's name can be no folder's."""
        try:
            variant = checked_name(self.variant)
        except ValueError as error:
            raise UsageError(f"--variant {self.variant}: {error}") from error
        return CellKey(model_slug(self.model or spec.model), variant, spec.load.slug, spec.block)


AS_SERVED = Called()
