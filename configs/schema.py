"""The pydantic models of study files; ``variant.py`` and ``architecture.py`` have those of their own files.

Every model forbids fields it does not know: a typing mistake in a study file must never silently become a
default that is then measured for an hour.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from configs.datasets import DATASETS, check_name
from configs.executor import Executor, SideBySide, Slurm
from configs.generator import Locust
from configs.remote import RemoteEngine
from configs.strict import StrictModel, checked_name, inconsistent
from starwatt_errors import UsageError

PROBE_PREFIX = "probe-"  # of the names of probe loads: no other load may be called so


def is_probe(load: str) -> bool:
    """Whether a load of this name is a probe: it feeds the rule ``phase``, and no contrast and no graded figure."""
    return load.startswith(PROBE_PREFIX)


class _Named(StrictModel):
    name: str | None = Field(default=None, description="The load's name on disk and in tables")

    _check_name = field_validator("name")(lambda value: value if value is None else checked_name(value))


class SingleStream(_Named):
    """One request in flight: the next is sent when the last has ended."""

    kind: Literal["single_stream"]

    @property
    def slug(self) -> str:
        """The load's name in paths and tables."""
        return self.name or "single-stream"


class Closed(_Named):
    """A fixed number of requests in flight."""

    kind: Literal["closed"]
    concurrency: int = Field(ge=1, le=65536, description="Requests in flight")

    @property
    def slug(self) -> str:
        """The load's name in paths and tables."""
        return self.name or f"closed-{self.concurrency}"


class Open(_Named):
    """Requests at given times, whatever the server does: at a rate, or as a file recorded them."""

    kind: Literal["open"]
    qps: float | None = Field(default=None, gt=0, le=100_000, description="Requests a second")
    arrivals: Literal["constant", "poisson"] | None = Field(
        default=None,
        description="With qps: gaps between requests all equal, or exponential (poisson, the default)",
    )
    trace: Path | None = Field(
        default=None,
        description="In place of qps: a CSV file of arrivals, one offset in seconds a line, relative to the study file",
    )
    max_in_flight: int | None = Field(
        default=None,
        ge=1,
        description="What is due beyond so many waits for a place, and its wait counts as latency",
    )

    @model_validator(mode="before")
    @classmethod
    def _default_arrivals(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("qps") is not None and data.get("arrivals") is None:
            return {**data, "arrivals": "poisson"}
        return data

    @model_validator(mode="after")
    def _one_way(self) -> Open:
        if (self.qps is None) == (self.trace is None):
            raise ValueError("an open load takes one of qps and trace")
        if self.trace is not None and self.arrivals is not None:
            raise ValueError("arrivals belongs to qps: a trace has its own")
        return self

    @property
    def slug(self) -> str:
        """The load's name in paths and tables."""
        if self.name is not None:
            return self.name
        capped = f"-most-{self.max_in_flight}" if self.max_in_flight is not None else ""
        if self.trace is not None:
            return f"open-trace-{re.sub(r'[^A-Za-z0-9._-]', '-', self.trace.stem)}{capped}"
        return f"open-{self.qps:g}-{self.arrivals}{capped}"


Load = Annotated[SingleStream | Closed | Open, Field(discriminator="kind")]


class FixedOutput(StrictModel):
    """Every answer has exactly this many tokens (``ignore_eos``, no stop strings)."""

    fixed: int = Field(ge=1, description="Tokens of every answer")


class RecordedOutput(StrictModel):
    """Every task's answer is as long as it was recorded to be (``ignore_eos``), whatever the variant would say."""

    recorded: Path = Field(
        description="A CSV file (task_id,tokens), or a finished run: its baseline's lengths; relative to the study file"
    )


class Prompts(StrictModel):
    """What is asked of the model, and how an answer ends."""

    dataset: str = Field(
        default="humaneval+",
        description=f"One of {', '.join(DATASETS)}; or a .jsonl file of own prompts, relative to the study file",
    )
    tasks: Literal["all"] | Annotated[int, Field(ge=1)] = Field(
        default="all", description="All tasks, or a seeded subset of this size"
    )
    max_tokens: int = Field(default=512, ge=1, description="The longest answer, in tokens")
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="0 is greedy decoding")
    output: Literal["natural"] | FixedOutput | RecordedOutput = Field(
        default="natural",
        description="natural: stop strings end an answer; {fixed: N}: N tokens each; {recorded: PATH}: as recorded",
    )

    characters: int | None = Field(
        default=None, ge=1, description="Probes alone: so many characters of each prompt are sent"
    )

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        try:
            check_name(value)
        except UsageError as error:
            raise ValueError(str(error).partition(" (given")[0]) from error
        return value


class Measure(StrictModel):
    """How much is measured: whole passes over the prompts, never a time slice."""

    passes: int = Field(default=1, ge=1, description="Whole passes over the prompts")
    min_s: float = Field(default=60.0, ge=0.0, description="Whole passes are added until this is reached")


class Probes(StrictModel):
    """Loads that tell the cost of reading a prompt from that of decoding: one token of answer; a short prompt and a
    long answer. They feed the attribution rule ``phase``, and nothing else."""

    concurrency: tuple[int, ...] = Field(
        default=(1, 8, 64), min_length=1, description="Requests in flight; each is measured with both kinds"
    )
    answer_tokens: int = Field(default=256, ge=16, description="Length of the long answers")
    prompt_characters: int = Field(default=80, ge=1, description="Of the short prompts")
    min_s: float = Field(
        default=10.0, ge=0, description="Whole passes over the prompts are added until this is reached"
    )

    @field_validator("concurrency")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value) or min(value) < 1:
            raise ValueError("takes numbers from 1 on, each once")
        return value


class Slo(StrictModel):
    """Bounds that a good request keeps; those given all count."""

    ttft_ms: float | None = Field(default=None, gt=0, description="Time to the first token")
    tpot_ms: float | None = Field(default=None, gt=0, description="Mean time between tokens")
    e2e_ms: float | None = Field(default=None, gt=0, description="Until the answer was whole")


class Cooldown(StrictModel):
    """Before each engine start: wait until the boards are as cool as before the others."""

    within_c: float = Field(
        default=5.0, ge=0, description="Above the coolest they were before an engine start"
    )
    within_w: float = Field(
        default=15.0, ge=0, description="The same of the power that they draw without an engine"
    )
    timeout_s: float = Field(
        default=180.0,
        ge=0,
        description="After that it starts all the same, and its cells are marked not_cooled",
    )


class Phases(StrictModel):
    """What surrounds the measured window."""

    idle_s: float = Field(
        default=20.0, ge=0.5, description="Server loaded, nothing in flight; before and after"
    )
    warmup_s: float = Field(default=15.0, ge=0.0, description="The same load, not measured")
    warmup_requests: int | None = Field(
        default=None,
        ge=1,
        description="Single-stream and closed loads: in place of warmup_s so many requests, at least those in flight",
    )
    rest_s: float = Field(
        default=1.5,
        ge=0,
        description="Between the last request (or the engine's start) and idle: vLLM's worker polls for a second",
    )
    drain_s: float = Field(
        default=60.0, ge=0.0, description="At most this long for what is in flight at the end"
    )
    cooldown: Cooldown | None = Field(
        default=Cooldown(), description="Between engine starts, where GPUs say how warm they are; null: none"
    )


class EngineSettings(StrictModel):
    """Equal for all variants of a study; they must allow its highest concurrency."""

    max_model_len: int = Field(default=2048, ge=16, description="Prompt and answer together, in tokens")
    max_num_seqs: int = Field(default=256, ge=1, description="Requests batched at most")
    prefix_cache: bool = Field(default=False, description="Reuse the KV cache of equal prompt beginnings")
    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="GPU only: share vLLM may take"
    )
    cpu_kvcache_gib: int = Field(default=1, ge=1, description="CPU only: room for the KV cache")
    enforce_eager: bool = Field(
        default=False, description="No torch.compile and no CUDA graphs, for all variants"
    )
    tensor_parallel: int = Field(default=1, ge=1, description="GPUs that share each layer (vLLM)")
    start_timeout_s: float = Field(
        default=900.0, gt=0, description="An engine that is not ready by then has failed"
    )
    hang_timeout_s: float = Field(
        default=120.0,
        ge=3,
        description="An engine that answers nothing, or makes no token, for so long has failed",
    )


class Modelled(StrictModel):
    """An estimate for machines without any power meter: CPU time of the engine's processes x watts."""

    watts_per_cpu: float = Field(default=10.0, gt=0, description="Watts of one fully used CPU")


class Gain(StrictModel):
    """What one board's power readings were found to be, beside a meter that is trusted."""

    factor: float = Field(gt=0.5, lt=2, description="True over shown joules; multiplies what the board shows")
    uncertainty: float = Field(
        default=0.0, ge=0, lt=0.5, description="Half-width that is left, relative (0.01: 1 %)"
    )


class ExternalLog(StrictModel):
    """The log of a wall meter or a BMC: a CSV file with a header that another program writes while we measure."""

    file: Path = Field(description="The log; relative to where starwatt was started")
    device: str = Field(default="wall", min_length=1, description="What the tables call it")
    boundary: Literal["gpu", "cpu", "dram", "host"] = Field(
        default="host", description="What it measures: host is the whole machine, at the wall"
    )
    time_column: str = Field(default="time", description="Seconds since 1970, or ISO 8601 with its zone")
    power_column: str | None = Field(default="power_w", description="Watts; null where the log has none")
    energy_column: str | None = Field(default=None, description="A counter that only rises, if it has one")
    energy_unit: Literal["J", "Wh", "kWh"] = Field(default="J", description="Of that counter")
    averages_s: float | None = Field(
        default=None, gt=0, description="Seconds that a reading averages over; null: since the line before"
    )
    clock_offset_s: float = Field(default=0.0, description="The log's clock minus this machine's calendar")
    clock_uncertainty_s: float = Field(
        default=0.1, ge=0, description="Half-width of what is not known of that offset"
    )

    @model_validator(mode="after")
    def _measures(self) -> ExternalLog:
        if self.power_column is None and self.energy_column is None:
            raise inconsistent("external", "takes a power_column, an energy_column or both")
        return self


class Meters(StrictModel):
    """Which meters are read, and how often."""

    sources: Literal["auto"] | tuple[Literal["nvml", "rapl", "modelled", "external"], ...] = Field(
        default="auto",
        description="auto: nvml and rapl where they answer, otherwise modelled; and the external logs that are named",
    )
    external: tuple[ExternalLog, ...] = Field(
        default=(), description="Logs of wall meters and BMCs, read beside the others"
    )
    gpus: tuple[str, ...] | None = Field(
        default=None,
        description="UUIDs of the GPUs that are read; null: those that CUDA_VISIBLE_DEVICES leaves",
    )
    sample_hz: float = Field(default=20.0, gt=0, le=100, description="Readings a second")
    counter_hz: float = Field(
        default=1.0,
        gt=0,
        le=10,
        description="Readings of a GPU's energy counter a second: it goes stale when read often",
    )
    modelled: Modelled = Field(default=Modelled(), description="The constants of the estimate")
    gain: dict[str, Gain] = Field(
        default={}, description="By device (a GPU's UUID): its calibration against a trusted meter"
    )
    require_exclusive: bool = Field(
        default=False, description="Stop when another's process is on a GPU; otherwise its cell is invalid"
    )

    @model_validator(mode="after")
    def _logs_are_named(self) -> Meters:
        if self.sources != "auto" and ("external" in self.sources) != bool(self.external):
            raise inconsistent("sources", "has external exactly where meters.external names a log")
        devices = [log.device for log in self.external]
        if len(set(devices)) != len(devices):
            raise inconsistent("external", "gives two logs the same device name")
        return self


class Cpus(StrictModel):
    """Which CPUs the engine and the load generator are pinned to."""

    engine: tuple[int, ...] | None = Field(default=None, description="CPU numbers of the engine; null: any")
    load: tuple[int, ...] | None = Field(
        default=None, description="CPU numbers of the load generator; null: any"
    )


class Study(StrictModel):
    """One study file: models x variants x loads x blocks."""

    name: str = Field(description="The run directory's name")
    models: tuple[str, ...] = Field(
        min_length=1, description="Hub ids, local paths, or configs/architectures"
    )
    baseline: str = Field(description="The variant that the others are set against")
    variants: tuple[str, ...] = Field(
        min_length=1, description="Names of files in configs/variants, or derived from them"
    )
    controls: dict[str, str] = Field(
        default={},
        description="By variant: the control it is also set against; the plan adds those that are needed",
    )
    remote: dict[str, RemoteEngine] = Field(
        default={}, description="By variant: an engine that already runs elsewhere; nothing is built for it"
    )
    loads: tuple[Load, ...] = Field(min_length=1, description="How requests are offered")
    prompts: Prompts = Field(default=Prompts(), description="What is asked")
    measure: Measure = Field(default=Measure(), description="How much is measured")
    probes: Probes | None = Field(
        default=None, description="Measured in block 1 beside the loads, for the rule phase; null: none"
    )
    slo: Slo | None = Field(default=None, description="For joules per request that kept it; null: none")
    phases: Phases = Field(default=Phases(), description="What surrounds the measured window")
    blocks: int = Field(default=5, ge=1, description="How often every cell is measured")
    attempts: int = Field(
        default=3, ge=1, description="How often a cell is tried before it is left out as failed"
    )
    engine_restarts: Literal["each_block", "once"] = Field(
        default="each_block", description="once: all blocks of a variant on one engine start"
    )
    engine: EngineSettings = Field(default=EngineSettings(), description="Equal for all variants")
    meters: Literal["auto"] | Meters = Field(default="auto", description="Which meters are read")
    cpus: Literal["shared", "split"] | Cpus = Field(
        default="shared",
        description="split: one CPU is the load generator's alone, the others are the engine's",
    )
    generator: Literal["own"] | Locust = Field(
        default="own", description="own: processes of this machine; or Locust's workers, wherever they are"
    )
    executor: Executor = Field(
        default="local",
        description="local: one engine of this machine at a time; side_by_side: several, each on boards of its own;"
        " slurm: a job array of a cluster. Settings as fields",
    )
    seed: int = Field(
        default=20, ge=0, description="Draws order, arrivals and subsets; never depends on the variant"
    )

    @field_validator("executor", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) and value != "local" else value

    _check_name = field_validator("name")(checked_name)

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        if self.baseline not in self.variants:
            raise inconsistent("baseline", f"takes one of the variants: {', '.join(self.variants)}")
        stray = [one for pair in self.controls.items() for one in pair if one not in self.variants]
        if stray:
            raise inconsistent("controls", f"names {stray[0]}, which is none of the variants")
        strange = [name for name in self.remote if name not in self.variants]
        if strange:
            raise inconsistent("remote", f"names {strange[0]}, which is none of the variants")
        if self.remote and len(self.models) > 1:
            raise inconsistent("remote", "takes one model: each of its engines serves one")
        for name in self.remote:
            checked_name(name)
        for field in ("models", "variants"):
            values = getattr(self, field)
            if len(set(values)) != len(values):
                raise inconsistent(field, "names one twice")
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
                f"takes at least {highest}: so many does a load keep in flight (it is {self.engine.max_num_seqs})",
            )
        if (
            isinstance(self.prompts.output, FixedOutput)
            and self.prompts.output.fixed > self.prompts.max_tokens
        ):
            raise inconsistent("prompts.output.fixed", "is larger than prompts.max_tokens")
        if self.prompts.characters is not None:
            raise inconsistent("prompts.characters", "is for probes alone (probes.prompt_characters)")
        if isinstance(self.executor, SideBySide):
            self._check_side_by_side(self.executor)
        return self

    def _check_side_by_side(self, executor: SideBySide) -> None:
        if self.remote:
            raise inconsistent(
                "executor", "side_by_side starts every engine on this machine: it takes no remote:"
            )
        if isinstance(self.cpus, Cpus):
            raise inconsistent("cpus", "is shared or split within each slot: name CPUs in executor.slots")
        if self.generator != "own":
            raise inconsistent("generator", "takes own: a Locust master serves one cell at a time")
        if "rapl" in self.meter_settings.sources or self.meter_settings.external:
            raise inconsistent("meters", "takes no rapl and no external log here: they see all slots as one")
        boards = min((len(slot.gpus) for slot in executor.slots or ()), default=executor.gpus_each)
        if 0 < boards < self.engine.tensor_parallel:  # 0: engines of the CPUs
            raise inconsistent(
                "engine.tensor_parallel",
                f"is {self.engine.tensor_parallel}, and a slot has {boards} boards: name more of them",
            )
        check = executor.neighbours
        if check is not None and check.variant not in (None, *self.variants):
            raise inconsistent("executor.neighbours.variant", f"takes one of {', '.join(self.variants)}")
        if check is not None and check.load not in (None, *(load.slug for load in self.loads)):
            raise inconsistent(
                "executor.neighbours.load", f"takes one of {', '.join(load.slug for load in self.loads)}"
            )

    @property
    def own_variants(self) -> tuple[str, ...]:
        """The variants that are built and served by us."""
        return tuple(name for name in self.variants if name not in self.remote)

    @property
    def measured_here(self) -> bool:
        """Whether this machine's boards measure, not those of a cluster's nodes."""
        return not isinstance(self.executor, Slurm)

    @property
    def probe_loads(self) -> tuple[tuple[Closed, Prompts], ...]:
        """Each probe with what it asks; empty where the study has none."""
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
        """``meters: auto`` spelled out."""
        return Meters() if self.meters == "auto" else self.meters
