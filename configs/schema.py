"""The pydantic models of study files; ``variant.py`` and ``architecture.py`` have those of their own files.

Every model forbids fields it does not know: a typing mistake in a study file must never silently become a
default that is then measured for an hour.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from configs.board import BoardSetting
from configs.datasets import DATASETS, DatasetName
from configs.engine.settings import EngineSettings as EngineSettings  # noqa: PLC0414 -- handed on
from configs.executor import Executor, NeighbourCheck, SideBySide
from configs.files.strict import (
    MOST_TOKENS,
    Cpu,
    FilePath,
    Line,
    Many,
    Name,
    Seconds,
    Seed,
    StrictModel,
    inconsistent,
    shape,
)
from configs.loads import PROBE_PREFIX, Closed, FindRate, Load, Locust
from configs.loads import Slo as Slo  # noqa: PLC0414 -- handed on
from configs.meters import Meters
from configs.phases import PhaseSettings
from configs.prompt_formats import EndpointKind
from configs.remote import RemoteSettings
from configs.restarts import EngineRestarts, Resident
from configs.variant import Variant


class FixedOutput(StrictModel):
    """Every answer has exactly this many tokens (``ignore_eos``, no stop strings)."""

    fixed: int = Field(ge=1, le=MOST_TOKENS, description="Tokens of every answer")


class RecordedOutput(StrictModel):
    """Every task's answer is as long as it was recorded to be (``ignore_eos``), whatever the variant would say."""

    recorded: FilePath = Field(
        description="A CSV file (task_id,tokens), or a finished run: its baseline's lengths; relative to the study file"
    )


def _form(value: Any) -> str:
    """Say which of the three forms of ``output`` a value is meant to be."""
    if isinstance(value, dict):
        return "recorded" if "recorded" in value and "fixed" not in value else "fixed"
    if isinstance(value, FixedOutput):
        return "fixed"
    return "recorded" if isinstance(value, RecordedOutput) else "word"


Output = Annotated[
    Annotated[Literal["natural"], Tag("word")]
    | Annotated[FixedOutput, Tag("fixed")]
    | Annotated[RecordedOutput, Tag("recorded")],
    Discriminator(_form),
]


class Prompts(StrictModel):
    """Say what is asked of the model, and how an answer ends."""

    dataset: DatasetName = Field(
        default="humaneval+",
        description=f"One of {', '.join(DATASETS)}; or a .jsonl file of own prompts, relative to the study file",
    )
    tasks: Literal["all"] | Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default="all", description="All tasks, or a seeded subset of this size"
    )
    max_tokens: int = Field(default=512, ge=1, le=MOST_TOKENS, description="The longest answer, in tokens")
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="0 is greedy decoding")
    begin_answer: bool = Field(
        default=False,
        description="By chat: begin the answer and end it after its code, as evalplus does; the server must take"
        " continue_final_message (vLLM, SGLang)",
    )
    output: Output = Field(
        default="natural",
        description="natural: stop strings end an answer; {fixed: N}: N tokens each; {recorded: PATH}: as recorded",
    )

    characters: int | None = Field(
        default=None,
        ge=1,
        le=MOST_TOKENS,
        description="Probes alone: so many characters of each prompt are sent",
    )


class Measure(StrictModel):
    """Say how much is measured: whole passes over the prompts, never a time slice."""

    passes: int = Field(default=1, ge=1, le=10_000, description="Whole passes over the prompts")
    min_s: Seconds = Field(default=60.0, description="Whole passes are added until this is reached")


class Probes(StrictModel):
    """Loads that tell the cost of reading a prompt from that of decoding: one token of answer; a short prompt and a
    long answer. They feed the attribution rule ``phase``, and nothing else."""

    concurrency: Many[Annotated[int, Field(ge=1, le=65536)]] = Field(
        default=(1, 8, 64), min_length=1, description="Requests in flight; each is measured with both kinds"
    )
    answer_tokens: int = Field(default=256, ge=16, le=MOST_TOKENS, description="Length of the long answers")
    prompt_characters: int = Field(default=80, ge=1, le=MOST_TOKENS, description="Of the short prompts")
    min_s: Seconds = Field(
        default=10.0, description="Whole passes over the prompts are added until this is reached"
    )

    @field_validator("concurrency")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("takes each number once")
        return value


class Cpus(StrictModel):
    """Say which CPUs the engine and the load generator are pinned to."""

    engine: Many[Cpu] | None = Field(
        default=None, min_length=1, description="CPU numbers of the engine; null: any"
    )
    load: Many[Cpu] | None = Field(
        default=None, min_length=1, description="CPU numbers of the load generator; null: any"
    )


class Study(StrictModel):
    """One study file: models x variants x loads x blocks."""

    name: Name = Field(description="The run directory's name")
    models: Many[Line] = Field(min_length=1, description="Hub ids, local paths, or configs/architectures")
    baseline: str = Field(description="The variant that the others are compared with")
    variants: Many[str] = Field(
        min_length=1,
        description="Names of files in configs/variants, or derived from them; paths of other files",
    )
    defined: dict[Name, Variant] = Field(
        default={},
        description="Variants that are no presets, by name; those that are named by a file (./mine.yaml) are kept here",
    )
    controls: dict[str, str] = Field(
        default={},
        description="By variant: the control it is also compared with; the plan adds those that are needed",
    )
    remote: dict[Name, RemoteSettings] = Field(
        default={}, description="By variant: an engine that already runs elsewhere; nothing is built for it"
    )
    loads: Many[Load] = Field(min_length=1, description="How requests are offered")
    board: Many[BoardSetting] = Field(
        default=(),
        max_length=100,
        description="Power limits and clocks, crossed with variants and loads (run --allow-board-control); empty: the"
        " boards are left alone",
    )
    endpoint: EndpointKind = Field(
        default="completions",
        description="completions: the model continues a prompt; chat: it is asked in its own chat template",
    )
    prompts: Prompts = Field(default=Prompts(), description="What is asked")
    measure: Measure = Field(default=Measure(), description="How much is measured")
    probes: Probes | None = Field(
        default=None, description="Measured in block 1 beside the loads, for the rule phase; null: none"
    )
    slo: Slo | None = Field(default=None, description="For joules per request that kept it; null: none")
    phases: PhaseSettings = Field(default=PhaseSettings(), description="What surrounds the measured window")
    blocks: int = Field(default=5, ge=1, le=1000, description="How often every cell is measured")
    attempts: int = Field(
        default=3, ge=1, le=10_000, description="How often a cell is tried before it is left out as failed"
    )
    engine_restarts: EngineRestarts = Field(
        default="each_block",
        description="once: all blocks of a variant on one engine start; {resident: auto, every: N}: all engines loaded"
        " beside each other, one at a time asked, and started anew every N blocks",
    )
    engine: EngineSettings = Field(default=EngineSettings(), description="Equal for all variants")
    meters: Annotated[
        Annotated[Literal["auto"], Tag("word")] | Annotated[Meters, Tag("fields")], Discriminator(shape)
    ] = Field(default="auto", description="Which meters are read")
    cpus: Annotated[
        Annotated[Literal["shared", "split"], Tag("word")] | Annotated[Cpus, Tag("fields")],
        Discriminator(shape),
    ] = Field(
        default="shared",
        description="split: one CPU is the load generator's alone, the others are the engine's",
    )
    generator: Annotated[
        Annotated[Literal["own"], Tag("word")] | Annotated[Locust, Tag("fields")], Discriminator(shape)
    ] = Field(
        default="own", description="own: processes of this machine; or Locust's workers, wherever they are"
    )
    executor: Executor = Field(
        default="local",
        description="local: one engine of this machine at a time; side_by_side: several, each on boards of its own;"
        " slurm: a job array of a cluster. Settings as fields",
    )
    seed: Seed = Field(
        default=20, description="Draws order, arrivals and subsets; never depends on the variant"
    )

    @field_validator("executor", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) and value != "local" else value

    @field_validator("board", mode="before")
    @classmethod
    def _none_is_no_setting(cls, value: Any) -> Any:
        return () if value is None else value

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        if self.baseline not in self.variants:
            raise inconsistent("baseline", f"takes one of the variants: {', '.join(self.variants)}")
        named = {"controls": [*self.controls, *self.controls.values()], "remote": [*self.remote]}
        for field, names in named.items():
            for name in names:
                if name not in self.variants:
                    raise inconsistent(field, f"names {name}, which is none of the variants")
        if self.remote and len(self.models) > 1:
            raise inconsistent("remote", "takes one model: each of its engines serves one")
        for field, listed in (("models", self.models), ("variants", self.variants)):
            for place, name in enumerate(listed):
                if name in listed[:place]:
                    raise inconsistent(f"{field}.{place}", f"names {name} twice")
        self._check_loads()
        self._check_boards()
        self._check_prompts()
        if isinstance(self.engine_restarts, Resident):
            self._check_again(self.engine_restarts.alone, "engine_restarts.alone")
        if isinstance(self.executor, SideBySide):
            self._check_side_by_side(self.executor)
        return self

    def _check_prompts(self) -> None:
        output = self.prompts.output
        if isinstance(output, FixedOutput) and output.fixed > self.prompts.max_tokens:
            raise inconsistent("prompts.output.fixed", "is larger than prompts.max_tokens")
        if self.prompts.begin_answer and self.endpoint != "chat":
            raise inconsistent("prompts.begin_answer", "goes with endpoint: chat")
        if self.prompts.characters is not None:
            raise inconsistent("prompts.characters", "is for probes alone (probes.prompt_characters)")

    def _check_loads(self) -> None:
        slugs = [load.slug for load in self.loads]
        if len(set(slugs)) != len(slugs):
            raise inconsistent("loads", f"two are called the same ({', '.join(slugs)}); give one a name:")
        if any(slug.startswith(PROBE_PREFIX) for slug in slugs):
            raise inconsistent("loads", f"names that begin with {PROBE_PREFIX} are for probes:")
        every = [*self.loads, *(load for load, _ in self.probe_loads)]
        highest = max((load.concurrency for load in every if isinstance(load, Closed)), default=1)
        if highest > self.engine.max_num_seqs:
            raise inconsistent(
                "engine.max_num_seqs",
                f"must be at least {highest}: so many does a load keep in flight (it is {self.engine.max_num_seqs})",
            )
        self._check_searches()

    def _check_searches(self) -> None:
        """Check what a load that looks for its rate needs of the study."""
        for place, load in enumerate(self.loads):
            if not isinstance(load, FindRate):
                continue
            if load.slo is None and self.slo is None:
                words = "is missing: a rate is looked for within bounds, such as {ttft: 200ms, tpot: 50ms}"
                raise inconsistent(f"loads.{place}.slo", f"{words} (here, or the study's own slo)")
            if self.generator != "own":
                words = "takes own with a load of kind find_rate: Locust's workers come once, a search has many windows"
                raise inconsistent("generator", words)

    def _check_boards(self) -> None:
        names = [setting.slug for setting in self.board]
        if len(set(names)) != len(names):
            raise inconsistent("board", f"has a setting twice: {', '.join(names)}")
        if not self.board:
            return
        if self.remote:
            raise inconsistent("board", "takes no remote: only boards of this machine's engines can be set")
        meters = self.meter_settings
        if meters.gpus == () or (meters.sources != "auto" and "nvml" not in meters.sources):
            raise inconsistent("board", "takes meters that read the boards (nvml): what is set must be seen")

    def _check_side_by_side(self, executor: SideBySide) -> None:
        if self.remote:
            raise inconsistent(
                "executor", "side_by_side starts every engine on this machine: it takes no remote:"
            )
        if isinstance(self.cpus, Cpus):
            raise inconsistent("cpus", "is shared or split within each slot: name CPUs in executor.slots")
        if isinstance(self.engine_restarts, Resident) and any(not slot.gpus for slot in executor.slots or ()):
            words = "takes each_block or once where slots have no boards: their engines share one memory"
            raise inconsistent("engine_restarts", words)
        if self.generator != "own":
            raise inconsistent("generator", "takes own: a Locust master serves one cell at a time")
        if "rapl" in self.meter_settings.sources or self.meter_settings.external:
            raise inconsistent("meters", "takes no rapl and no external log here: they see all slots as one")
        boards = executor.boards_each
        if 0 < boards < self.engine.tensor_parallel:
            raise inconsistent(
                "engine.tensor_parallel",
                f"is {self.engine.tensor_parallel}, and a slot has {boards} boards: name more of them",
            )
        self._check_again(executor.neighbours, "executor.neighbours")

    def _check_again(self, check: NeighbourCheck | None, at: str) -> None:
        """Check that a cell which is measured again is one of the study's."""
        loads = [load.slug for load in self.loads]
        if check is not None and check.variant not in (None, *self.variants):
            raise inconsistent(f"{at}.variant", f"takes one of {', '.join(self.variants)}")
        if check is not None and check.load not in (None, *loads):
            raise inconsistent(f"{at}.load", f"takes one of {', '.join(loads)}")
        if check is not None and self.measured_again(check) is None:
            words = (
                "takes a load that is the same whenever it is measured, and find_rate looks for its rate anew"
            )
            raise inconsistent(
                f"{at}.load" if check.load else at, f"{words}: name another, or take null for no check"
            )

    def measured_again(self, check: NeighbourCheck) -> Load | None:
        """Return the load that a check measures again: the one it names, else the last that looks for no rate."""
        same = [load for load in self.loads if not isinstance(load, FindRate)]
        return next((load for load in reversed(same) if check.load in (None, load.slug)), None)

    @property
    def own_variants(self) -> tuple[str, ...]:
        """Return the variants that are built and served by us."""
        return tuple(name for name in self.variants if name not in self.remote)

    @property
    def measures_here(self) -> bool:
        """Say whether the power of any of its engines is read by the meters of the machine that measures."""
        return bool(self.own_variants) or any(engine.meter == "local" for engine in self.remote.values())

    @property
    def board_settings(self) -> tuple[BoardSetting | None, ...]:
        """Return the settings that each load is measured at; None alone where the study leaves the boards alone."""
        return self.board or (None,)

    @property
    def probe_loads(self) -> tuple[tuple[Closed, Prompts], ...]:
        """Return each probe with what it asks; empty where the study has none."""
        if self.probes is None:
            return ()
        wanted = self.probes
        prefill = {"max_tokens": 1, "output": FixedOutput(fixed=1)}
        decode = {
            "max_tokens": wanted.answer_tokens,
            "output": FixedOutput(fixed=wanted.answer_tokens),
            "characters": wanted.prompt_characters,
        }
        return tuple(
            (
                Closed(name=f"{PROBE_PREFIX}{kind}-{concurrency}", kind="closed", concurrency=concurrency),
                self.prompts.model_copy(update=changes),
            )
            for kind, changes in (("prefill", prefill), ("decode", decode))
            for concurrency in wanted.concurrency
        )

    @property
    def meter_settings(self) -> Meters:
        """Spell out ``meters: auto``."""
        return Meters() if self.meters == "auto" else self.meters
