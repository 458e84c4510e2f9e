"""Reckon how long cells and engine starts take, from the model, its format, its engine and the board."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

from configs.datasets import Task
from configs.engine.arguments import with_arguments
from configs.loader import load_architecture, load_variant
from configs.loads import Closed, FindRate, Load, Open
from configs.recordings import Lengths
from configs.schema import EngineSettings, FixedOutput, Measure, RecordedOutput, Study
from configs.variant import Variant
from loadgen.planning.arrivals import mean_rate
from loadgen.planning.recorded import with_lengths
from server.build.shape import Shape, pruned_shape, weight_bytes
from study.plan.cells import PlannedCell, shortest_search_s
from study.plan.rates import Hardware, overhead
from study.plan.span import NOTHING, Span
from traces.layout import model_slug

_UNKNOWN = Shape(32, 6.5e9, 0.5e9)
"""Of a model that says nothing of its size."""
_A_CHARACTER = Span(1 / 3.8, 1 / 2.6)
"""Tokens of code a character, by the vocabularies of code models."""
_OF_THE_SOLUTION = Span(0.6, 2.5)
"""Length of a model's own answer by that of the canonical solution: shorter ones, and ones that ramble."""
_RECITED = Span(0.9, 1.2)
"""The same of a model that has memorised the solutions."""
_OF_THE_LONGEST = Span(0.1, 1.0)
"""The same of prompts without a solution, by the longest answer that is allowed."""
_CLIENT_S = Span(0.0, 0.01)
_OWN_S = Span(0.8, 3.0)
"""What a cell takes beyond its phases (docs/measurements/runner.md: 1.46 s, most 2.06)."""
_READ = Span(4e9, 2e8)
"""Bytes a second from a disk into an engine."""
_STARTS = {
    ("vllm", True): Span(15.0, 60.0), ("vllm", False): Span(12.0, 60.0),
    ("transformers", True): Span(8.0, 40.0), ("transformers", False): Span(6.0, 40.0),
}  # fmt: skip
"""Imports and set-up until an engine answers, by engine and whether on a board; 30 to 50 s for vLLM on two cores."""
_COMPILES_S = Span(10.0, 90.0)
_STOPS_S = Span(0.5, 8.0)
_ASKED_ALONE = 8
"""Requests, one at a time, before a rate is looked for."""
_ELSEWHERE_S = Span(0.0, 5.0)


@dataclass
class Reckoner:
    """Reckon the cells and engine starts of a study, with what they share."""

    study: Study
    tasks: Sequence[Task]
    """Those that are asked."""
    shapes: Mapping[str, Shape | None]
    """By model."""
    lengths: Mapping[str, Mapping[str, int]]
    """By model's name in paths and task: recorded tokens, where they are forced."""
    hardware: Hardware
    _known: dict[tuple[object, ...], Span] = field(default_factory=dict)
    _variants: dict[str, Variant] = field(default_factory=dict)

    def cell(self, cell: PlannedCell) -> Span:
        """Return the seconds of one cell, without its engine's start."""
        key = (cell.model, cell.variant, cell.load, cell.prompts, cell.measure)
        if key not in self._known:
            self._known[key] = self._cell(cell)
        return self._known[key]

    def start(self, cell: PlannedCell) -> Span:
        """Return the seconds until the engine of a cell can be measured, without waiting for a board to cool."""
        key = ("start", cell.model, cell.variant)
        if key not in self._known:
            self._known[key] = self._start(cell)
        return self._known[key]

    def _start(self, cell: PlannedCell) -> Span:
        if cell.variant in self.study.remote:
            return _ELSEWHERE_S + Span.exactly(self.study.phases.rest_s)
        variant, shape = self._variant(cell), self._shape(cell)
        size = weight_bytes(shape, variant)
        eager = self.study.engine.enforce_eager or variant.enforce_eager
        compiles = NOTHING if eager or variant.engine == "transformers" else _COMPILES_S
        loads = Span(size / _READ.low, size / _READ.high)
        rest = Span.exactly(self.study.phases.rest_s)
        return _STARTS[variant.engine, self.hardware.on_gpu] + compiles + loads + rest + _STOPS_S

    def estimated(self, cells: Sequence[PlannedCell]) -> list[PlannedCell]:
        """Return the cells with the middles of these ranges: for a display, and for the plan on disk."""
        return [
            replace(cell, estimated_s=self.cell(cell).middle, start_s=self.start(cell).middle)
            for cell in cells
        ]

    def _cell(self, cell: PlannedCell) -> Span:
        phases = self.study.phases
        request = self._request(cell, self._in_flight(cell))
        window = _window(cell.measure, self._pass(cell))
        warmup = Span.exactly(phases.warmup_s)
        if phases.warmup_requests is not None and not isinstance(cell.load, Open | FindRate):
            rounds = math.ceil(phases.warmup_requests / self._in_flight(cell))
            warmup = request * rounds
        drain = Span(0.0, min(request.high, phases.drain_s))
        quiet = Span.exactly(2 * phases.idle_s + phases.rest_s)
        return quiet + warmup + window + drain + _OWN_S + self._search(cell, quiet)

    def _search(self, cell: PlannedCell, again: Span) -> Span:
        """Reckon what is measured before the rate of a cell is known; at most to the end of its time."""
        load = cell.load
        if not isinstance(load, FindRate):
            return NOTHING
        alone = self._request(cell, 1) * _ASKED_ALONE
        return alone + Span(shortest_search_s(load), load.search_for_s + again.high)

    def _pass(self, cell: PlannedCell) -> Span:
        """Reckon every task asked once."""
        load, recording = cell.load, with_lengths(cell.load)
        count = len(self.tasks) if recording is None else len(recording.offsets_ns)
        together = self._in_flight(cell)
        busy = self._request(cell, together) * (count / together)
        if isinstance(load, FindRate):  # between one request at a time and all that there is room for
            return Span(busy.low, max(busy.high, self._request(cell, 1).high * count))
        if not isinstance(load, Open):
            return busy.at_least(self._request(cell, together)) + _CLIENT_S * count
        offered = Span.exactly(count / mean_rate(load)) + self._request(cell, 1)
        return offered.at_least(busy)

    def _request(self, cell: PlannedCell, together: int) -> Span:
        """Reckon one request among so many: its own share of the prompts read beside it, then a step a token."""
        lengths = _recorded(cell)
        prompt = (
            Span.exactly(mean(request.prompt_tokens for request in lengths))
            if lengths
            else _mean_tokens([len(task.prompt[: cell.prompts.characters]) for task in self.tasks])
        )
        shape = self._shape(cell)
        reading = self._computed(cell, shape, 1.0).times(prompt) * together
        return reading + self._step(cell, together).times(self._answer(cell))

    def _step(self, cell: PlannedCell, together: int) -> Span:
        """Return the seconds in which each of so many sequences gets one token."""
        variant, shape = self._variant(cell), self._shape(cell)
        size, extra = weight_bytes(shape, variant), overhead(variant, self.study.engine, self.hardware)
        rate = self.hardware.bandwidth * self._more_boards(cell)
        read = Span(size / rate.low, size / rate.high)
        fixed = (extra.once + extra.a_layer * shape.layers + extra.a_sequence * together) * 1e-3
        return read.at_least(self._computed(cell, shape, together)) + fixed

    def _computed(self, cell: PlannedCell, shape: Shape, tokens: float) -> Span:
        work, rate = 2 * shape.parameters * tokens, self.hardware.flops * self._more_boards(cell)
        return Span(work / rate.low, work / rate.high)

    def _more_boards(self, cell: PlannedCell) -> float:
        """Return how many times the hardware's boards a variant has."""
        if not self.hardware.on_gpu:
            return 1.0
        return self._engine(cell).boards / self.study.engine.boards

    def _in_flight(self, cell: PlannedCell) -> int:
        return in_flight(cell.load, self._engine(cell).max_num_seqs)

    def _engine(self, cell: PlannedCell) -> EngineSettings:
        return with_arguments(self.study.engine, self._variant(cell).engine_args)

    def _answer(self, cell: PlannedCell) -> Span:
        """Return the tokens of a mean answer."""
        if recorded := _recorded(cell):
            return Span.exactly(mean(request.output_tokens for request in recorded))
        output = cell.prompts.output
        if isinstance(output, FixedOutput):
            return Span.exactly(output.fixed)
        if isinstance(output, RecordedOutput):
            lengths = self.lengths.get(model_slug(cell.model), {})
            known = [lengths[task.task_id] for task in self.tasks if task.task_id in lengths]
            return Span.exactly(mean(known)) if known else Span(1.0, cell.prompts.max_tokens)
        longest = [min(cell.prompts.max_tokens, task.max_tokens or math.inf) for task in self.tasks]
        if not all(task.has_tests for task in self.tasks):
            return _OF_THE_LONGEST * mean(longest)
        architecture = load_architecture(cell.model)
        recites = architecture is not None and architecture.weights.kind == "memorised"
        solution = _mean_tokens([len(task.canonical_solution) for task in self.tasks])
        usual = solution.times(_RECITED if recites else _OF_THE_SOLUTION)
        return Span(max(min(usual.low, mean(longest)), 1.0), min(usual.high, mean(longest)))

    def _variant(self, cell: PlannedCell) -> Variant:
        """Return the variant of a cell; what an engine elsewhere serves is not known, and is reckoned as bf16."""
        name = "bf16" if cell.variant in self.study.remote else cell.variant
        if name not in self._variants:
            self._variants[name] = load_variant(name, self.study.defined)
        return self._variants[name]

    def _shape(self, cell: PlannedCell) -> Shape:
        return pruned_shape(self.shapes.get(cell.model) or _UNKNOWN, self._variant(cell))


def in_flight(load: Load, most: int) -> int:
    """Return how many requests a load keeps in flight, on an engine that takes ``most`` at once."""
    if isinstance(load, Closed):
        return min(load.concurrency, most)
    return min(load.max_in_flight or most, most) if isinstance(load, Open | FindRate) else 1


def _window(measure: Measure, a_pass: Span) -> Span:
    """Reckon whole passes, and more of them until the shortest window is reached."""
    asked = a_pass * measure.passes
    return Span(max(asked.low, measure.min_s), max(asked.high, measure.min_s + a_pass.high))


def _mean_tokens(characters: Sequence[int]) -> Span:
    return _A_CHARACTER * mean(characters)


def _recorded(cell: PlannedCell) -> tuple[Lengths, ...]:
    """Return the lengths of what a cell asks, where it replays a recording that has them."""
    recording = with_lengths(cell.load)
    return () if recording is None else recording.lengths or ()
