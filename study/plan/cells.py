"""Plan which cells a study has, in which order they are measured, and which of them share an engine start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, groupby

import numpy as np
import pyarrow as pa

from configs.board import BoardSetting, slug_of
from configs.loads import FindRate, Load, Open
from configs.restarts import Resident
from configs.schema import Measure, Prompts, Study
from loadgen.planning.arrivals import mean_rate
from loadgen.planning.prompts import seeded
from loadgen.planning.recorded import with_lengths
from starwatt_errors import UsageError
from traces.layout import CellKey, board_of, model_slug, with_board
from traces.schemas import PLAN
from traces.streams import stamped

_MOST_CELLS = 1_000_000
_WHOLE_WINDOWS = 10
"""Of the quickest searches (docs/decisions/0123-windows-that-may-say-nothing.md)."""


@dataclass(frozen=True)
class PlannedCell:
    """One cell and its place in the order."""

    model: str
    """As in the study file; ``key.model`` is its name in paths."""
    variant: str
    load: Load
    prompts: Prompts
    measure: Measure
    key: CellKey
    position: int
    engine_start: int
    estimated_s: float
    """What it is expected to take without its engine's start; the least that its phases and its window take until that
    is reckoned (``study/plan/reckoning.py``)."""
    start_s: float = 0.0
    """The same of the engine's start."""
    board: BoardSetting | None = None
    """What the engine's boards are set to; None: they are left alone."""


def plan_cells(study: Study, tasks: int) -> list[PlannedCell]:
    """Plan every cell in the order of measuring, drawn from the seed.

    A block holds every cell once, its variants in random order, each with one engine start and its loads (each at every
    setting of the boards) in random order, the same however many blocks there are; block 1 holds the probes too. With
    ``engine_restarts: once`` whole variants are ordered, and all blocks of one follow each other. Where engines stay
    loaded the order is that of ``each_block``, model by model, and blocks share engine starts.

    Raises:
        UsageError: there would be more than a million cells.
    """
    _check_count(study)
    cells: list[PlannedCell] = []
    for engine_start, model, variant, blocks, order in _turns(study):
        for block in blocks:
            asked = _asked(study, block)
            for index in order.permutation(len(asked)):
                load, prompts, measure, board = asked[index]
                cells.append(
                    PlannedCell(
                        model=model,
                        variant=variant,
                        load=load,
                        prompts=prompts,
                        measure=measure,
                        key=CellKey(model_slug(model), variant, with_board(load.slug, slug_of(board)), block),
                        position=len(cells),
                        engine_start=engine_start,
                        estimated_s=_shortest_s(study, load, measure, tasks),
                        board=board,
                    )
                )
    return cells


_Turn = tuple[int, str, str, list[int], np.random.Generator]
"""Which engine start, model and variant of it, blocks that follow each other on it, what draws the order of loads."""


def _turns(study: Study) -> Iterator[_Turn]:
    """Yield the turns of engines, in order."""
    if isinstance(study.engine_restarts, Resident):
        yield from _resident_turns(study, study.engine_restarts)
        return
    pairs = [(model, variant) for model in study.models for variant in study.variants]
    blocks = list(range(1, study.blocks + 1))
    drawn = (
        [(seeded(study.seed, "plan"), blocks)]
        if study.engine_restarts == "once"
        else [(seeded(study.seed, "plan", block), [block]) for block in blocks]
    )
    number = count()
    for order, together in drawn:
        for index in order.permutation(len(pairs)):
            yield next(number), *pairs[index], together, order


def _resident_turns(study: Study, restarts: Resident) -> Iterator[_Turn]:
    """Take one model after the other between two starts of all engines: memory holds the variants of one."""
    started = 0
    for start, blocks in groupby(range(1, study.blocks + 1), key=restarts.start_of):
        together = list(blocks)
        for model in seeded(study.seed, "plan of models", start).permutation(len(study.models)):
            numbers: dict[str, int] = {}
            for block in together:
                order = seeded(study.seed, "plan", block)
                for index in order.permutation(len(study.variants)):
                    variant = study.variants[index]
                    number = numbers.setdefault(variant, started + len(numbers))
                    yield number, study.models[model], variant, [block], order
            started += len(numbers)


_Asked = tuple[Load, Prompts, Measure, BoardSetting | None]


def _asked(study: Study, block: int) -> list[_Asked]:
    """Return the loads of a block at each setting of the boards, with what they ask; only the first has probes."""
    asked: list[tuple[Load, Prompts, Measure]] = [
        (load, study.prompts, study.measure) for load in study.loads
    ]
    if study.probes is not None and block == 1:
        measure = Measure(passes=1, min_s=study.probes.min_s)
        asked += [(load, prompts, measure) for load, prompts in study.probe_loads]
    return [
        (load, prompts, measure, setting)
        for load, prompts, measure in asked
        for setting in study.board_settings
    ]


def _check_count(study: Study) -> None:
    """Refuse more cells than anybody lives to see measured, and than a plan can hold."""
    loads = len(study.loads) * len(study.board_settings)
    cells = len(study.models) * len(study.variants) * loads * study.blocks
    if cells > _MOST_CELLS:
        raise UsageError(
            f"models: with variants, loads and blocks they make {cells} cells: take fewer blocks"
        )


def by_engine_start(cells: Sequence[PlannedCell]) -> list[list[PlannedCell]]:
    """Group the cells that follow each other on one engine start: its turn, where several engines are loaded."""
    return [list(group) for _, group in groupby(cells, key=lambda cell: cell.engine_start)]


def first_of_each_start(cells: Iterable[PlannedCell]) -> list[PlannedCell]:
    """Return the first cell of each engine start, in order."""
    first: dict[int, PlannedCell] = {}
    for cell in cells:
        first.setdefault(cell.engine_start, cell)
    return list(first.values())


def expected_s(cells: Sequence[PlannedCell]) -> dict[CellKey, float]:
    """Sum up what each cell was estimated to take, with the start of its engine where it is the first on it."""
    first = {cell.key for cell in first_of_each_start(cells)}
    return {cell.key: cell.estimated_s + cell.start_s * (cell.key in first) for cell in cells}


def plan_table(cells: list[PlannedCell]) -> pa.Table:
    """Make the table of ``plan.parquet``."""
    columns = {
        "model": [cell.key.model for cell in cells],
        "variant": [cell.variant for cell in cells],
        "load": [cell.key.load for cell in cells],
        "board": [board_of(cell.key.load) for cell in cells],
        "block": [cell.key.block for cell in cells],
        "position": [cell.position for cell in cells],
        "engine_start": [cell.engine_start for cell in cells],
        "estimated_s": [cell.estimated_s for cell in cells],
    }
    return pa.table(columns, schema=stamped(PLAN))


def unplanned_table(keys: Iterable[CellKey]) -> pa.Table:
    """Make the table of ``plan.parquet`` of cells that no study planned."""
    rows = [{**asdict(key), "position": position} for position, key in enumerate(keys)]
    return pa.Table.from_pylist(rows, schema=stamped(PLAN))


def shortest_search_s(load: FindRate) -> float:
    """Return the seconds in which a search that meets no doubt closes its bracket: about as many whole windows."""
    return min(_WHOLE_WINDOWS * load.window_s, load.search_for_s)


def _shortest_s(study: Study, load: Load, measure: Measure, tasks: int) -> float:
    """Sum up the phases and the window that is asked for, with answers that take no time."""
    recording = with_lengths(load)
    tasks = tasks if recording is None else len(recording.offsets_ns)
    per_pass_s = tasks / mean_rate(load) if isinstance(load, Open) else 0.0
    measured_s = max(measure.min_s, measure.passes * per_pass_s)
    if isinstance(load, FindRate):
        measured_s += shortest_search_s(load)
    return 2 * study.phases.idle_s + study.phases.warmup_s + measured_s
