"""Refuse what cannot work before hours are spent on it: by ``run`` before its first build, and by ``--dry-run``.

The study file has been read by then (``configs/loader.py``). What is looked at here takes the machine, the models and
the prompts to decide. All that is wrong is told in one message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from configs.datasets import is_own
from configs.engine.arguments import with_arguments
from configs.loader import load_variant
from configs.schema import Study
from loadgen.planning.recorded import with_lengths
from server.build.foresight import Known, check_files_of, check_variant, in_store, known_model, source_of
from server.build.shape import pruned_shape, weight_bytes
from server.build.store import Checkpoint, Store, store_root
from server.build.tokenizer_files import has_chat_template
from server.engines.engine import ADAPTERS
from server.engines.engine_spec import EngineSpec
from server.engines.hardware import cannot_be_shared, this_machine, why_not
from server.engines.toolchain import check_environment
from server.engines.vllm import check_own_arguments, look_at_arguments, vllm_is_installed
from server.power.nvidia.inventory import gpu_inventory
from starwatt_errors import BuildError, EngineError, StarwattError, UsageError
from study.executors.executor import Executor
from study.measure.remote_engine import ask_once, check_secrets
from study.measure.study_run import StudyRun
from study.plan.lengths import lengths_of
from study.plan.preparation import preparation, size_words
from study.preflight.boards import board_problems
from study.preflight.meters_here import missing_devices, missing_meters
from study.preflight.problems import Field, StudyProblem, found_by, problem_of, refuse
from study.preflight.room import asked, no_room
from study.preflight.solutions import unusable_tests
from traces.layout import model_slug

_GIB = 2**30


@dataclass(frozen=True)
class Preflight:
    """Check a study that has been read, by what is asked of it."""

    study_run: StudyRun
    executor: Executor
    api_key: str | None
    """What engines would be started with."""
    allow_board_control: bool = False
    """Whether the person has said that boards may be set."""

    def refuse(self, *, only_looking: bool) -> None:
        """Raise one error with everything that is known to be against this study.

        With ``only_looking`` it is not run now: that the hub does not answer is no reason, and engines elsewhere are
        asked whether they answer already (``run`` waits for each until its turn).

        Raises:
            UsageError: the study's file is wrong.
            StarwattError: this machine, or one that it needs, lacks something.
        """
        refuse(self.study_run.file, self._problems(only_looking=only_looking))

    def refuse_prompts_without_room(self, checkpoints: Mapping[tuple[str, str], Checkpoint]) -> None:
        """Refuse prompts without room, once the models are here whose tokenizers count them and make chats of them.

        Raises:
            UsageError: a prompt and its answer have no room, or a model that is asked by chat has no template.
        """
        folders = {model: checkpoint.path for (model, _), checkpoint in checkpoints.items()}
        refuse(
            self.study_run.file,
            [*self._without_room(folders), *_without_template(self.study_run.study, folders)],
        )

    def _problems(self, *, only_looking: bool) -> Iterator[StudyProblem]:
        study, here = self.study_run.study, self.executor.here
        yield from found_by((self.executor.checked_field,), self.executor.check)
        yield from board_problems(study, self.study_run.run, self.executor, allowed=self.allow_board_control)
        if here:
            yield from missing_devices(study)
            yield from missing_meters(study)
            yield from _of_the_engines(study, self.api_key)
        elif vllm_is_installed():
            yield from _of_their_arguments(_specs(study, self.api_key))
        models, problems = models_of(study)
        yield from problems
        if not only_looking:
            yield from _not_to_be_had(study, models)
        yield from _positions(study, models)
        yield from self._without_room({name: known.folder for name, known in models.items()})
        here_already = {
            name: known.folder for name, known in models.items() if known.folder or known.made_here
        }
        yield from _without_template(study, here_already)
        if here:
            yield from _without_memory(study, models)
        yield from _without_disk(study, models)
        if is_own(study.prompts.dataset):
            yield from unusable_tests(Path(study.prompts.dataset), self.study_run.dataset)
        yield from self._elsewhere(ask=only_looking)

    def _elsewhere(self, *, ask: bool) -> Iterator[StudyProblem]:
        """Find keys and tokens that are missing; with ``ask`` also what engines and meters that run now object to."""
        study = self.study_run.study
        for variant in study.remote:
            field = ("remote", variant)
            try:
                check_secrets(study, variant)
                engine = ask_once(study, variant) if ask else None
            except StarwattError as error:
                yield problem_of(field, error)
                continue
            if engine is not None and engine.served.max_model_len is not None:
                yield from self._beyond(engine.served.max_model_len, f"so far does {engine.url} reach", {})

    def _without_room(self, folders: Mapping[str, Path | None]) -> Iterator[StudyProblem]:
        """Find requests that our own engines would refuse; ``folders``: by model, where its tokenizer lies."""
        study = self.study_run.study
        if any(load_variant(name, study.defined).engine == "vllm" for name in study.own_variants):
            yield from self._beyond(study.engine.max_model_len, "engine.max_model_len", folders)

    def _beyond(
        self, limit: int, limited_by: str, folders: Mapping[str, Path | None]
    ) -> Iterator[StudyProblem]:
        study, tasks = self.study_run.study, self.study_run.tasks
        try:
            lengths = lengths_of(self.study_run.run, study, [task.task_id for task in tasks])
        except UsageError as error:
            yield problem_of(("prompts", "output", "recorded"), error)
            return
        for place, load in enumerate(study.loads):
            recording = with_lengths(load)
            words = None if recording is None else recording.beyond(limit)
            if words is not None:
                remedy = f"raise that, or leave them out with most_tokens: {limit}"
                yield StudyProblem(("loads", place, "trace"), f"{words} ({limited_by}): {remedy}")
        if all(with_lengths(load) for load in study.loads) and not study.probe_loads:
            return  # no task is asked
        for model in study.models:
            every = asked(study, tasks, lengths.get(model_slug(model), {}))
            yield from no_room(every, limit, limited_by, folders.get(model))


def models_of(study: Study) -> tuple[dict[str, Known], list[StudyProblem]]:
    """Return what is known of each model that is built or served here, and what is wrong with it or its variants."""
    known: dict[str, Known] = {}
    problems: list[StudyProblem] = []
    looked_at: set[str] = set()
    store = Store(store_root())
    variants = [(index, name) for index, name in enumerate(study.variants) if name in study.own_variants]
    for number, model in enumerate(study.models if variants else ()):
        for index, name in variants:
            variant = load_variant(name, study.defined)
            source = source_of(model, variant)
            field = ("models", number) if source == model else ("variants", index)
            try:
                source_model = in_store(
                    known_model(source, trust_remote_code=variant.trust_remote_code), store
                )
            except (UsageError, BuildError) as error:
                problems.append(problem_of(field, error))
                continue
            if source == model:
                known[model] = source_model
            if source not in looked_at:
                problems += found_by(field, partial(check_files_of, source_model))
            looked_at.add(source)
            problems += found_by(("variants", index), partial(check_variant, source_model, variant))
    return known, problems


def _of_the_engines(study: Study, api_key: str | None) -> Iterator[StudyProblem]:
    """Find servers that are not installed, and what they or this hardware can't do."""
    if not study.own_variants:
        return
    unfit = list(found_by(("variants",), check_environment))
    if unfit:
        yield from unfit
        return
    machine = this_machine()
    boards = max(len(machine.gpus), 1)
    if study.engine.tensor_parallel > boards:
        words = f"takes at most {boards}: {len(machine.gpus)} GPUs are here (it is {study.engine.tensor_parallel})"
        yield StudyProblem(("engine", "tensor_parallel"), words)
        return
    specs = _specs(study, api_key)
    wrong = list(_of_their_arguments(specs))
    yield from wrong
    told: set[Field] = {problem.field for problem in wrong}
    for index, spec in specs.items():
        reason = why_not(spec.variant, study.engine, machine)
        if reason is not None:
            yield StudyProblem(("variants", index), f"this machine cannot serve {spec.model}: {reason}")
        if told.isdisjoint({("variants",), ("variants", index)}):
            yield from found_by(("variants", index), partial(ADAPTERS[spec.variant.engine].check, spec))


def _specs(study: Study, api_key: str | None) -> dict[int, EngineSpec]:
    """Return what would be started, by the place of its variant."""
    nothing_yet = Checkpoint(Path(), "", memorised=False)
    return {
        index: EngineSpec(
            name, load_variant(name, study.defined), nothing_yet, study.engine, port=0, api_key=api_key
        )
        for index, name in enumerate(study.variants)
        if name in study.own_variants
    }


def _of_their_arguments(specs: Mapping[int, EngineSpec]) -> Iterator[StudyProblem]:
    """Find arguments that vLLM does not take; it is asked once about all of them."""
    unanswered = list(found_by(("variants",), partial(look_at_arguments, specs.values())))
    yield from unanswered
    for index, spec in specs.items() if not unanswered else ():
        yield from found_by(("variants", index), partial(check_own_arguments, spec))


def _not_to_be_had(study: Study, models: Mapping[str, Known]) -> Iterator[StudyProblem]:
    for number, model in enumerate(study.models):
        doubt = models[model].doubt if model in models else None
        if doubt is not None:
            words = f"{model} is not in the hub's cache, and the hub cannot be asked for it: {doubt}"
            yield StudyProblem(("models", number), words, BuildError)


def _positions(study: Study, models: Mapping[str, Known]) -> Iterator[StudyProblem]:
    """Refuse a context that is longer than a model reaches, and boards that cannot share its heads."""
    settings = study.engine
    for model, known in models.items():
        shape = known.shape
        if shape is None:
            continue
        if shape.positions is not None and settings.max_model_len > shape.positions:
            words = (
                f"takes at most {shape.positions}: so far does {model} reach (it is {settings.max_model_len})"
            )
            yield StudyProblem(("engine", "max_model_len"), words)
        for index, name in enumerate(study.variants):
            variant = None if name in study.remote else load_variant(name, study.defined)
            reason = None if variant is None else cannot_be_shared(shape, variant, settings)
            if variant is None or reason is None:
                continue
            if with_arguments(settings, variant.engine_args) == settings and settings.boards > 1:
                yield StudyProblem(
                    ("engine", "tensor_parallel"), f"takes another number for {model}: {reason}"
                )
            else:
                yield StudyProblem(("variants", index), f"{name} cannot serve {model}: {reason}")


def _without_template(study: Study, folders: Mapping[str, Path | None]) -> Iterator[StudyProblem]:
    """Find models that cannot be asked by chat; ``folders``: where their tokenizers lie, None: they are made here."""
    if study.endpoint != "chat":
        return
    lacking = [
        name
        for name in study.own_variants
        if "chat_template" not in load_variant(name, study.defined).engine_args
    ]
    for number, model in enumerate(study.models if lacking else ()):
        folder = folders.get(model)
        if model in folders and (folder is None or not has_chat_template(folder)):
            words = (
                f"{model} has no chat template, so that its server refuses every chat: take an instruct model, put a "
                "chat_template.jinja beside its tokenizer, give each variant one (engine_args: {chat_template: FILE}), "
                "or ask for completions (endpoint: completions)"
            )
            yield StudyProblem(("models", number), words)


def _without_memory(study: Study, models: Mapping[str, Known]) -> Iterator[StudyProblem]:
    """Find the variants whose weights alone are more than there is room for, and a KV cache that is."""
    if not study.own_variants:
        return
    boards = [gpu.memory_mib * 2**20 for gpu in gpu_inventory() if gpu.memory_mib is not None]
    memory = psutil.virtual_memory().total
    cache = study.engine.cpu_kvcache_gib * _GIB
    if not boards and cache > memory:
        words = (
            f"takes at most {memory // _GIB}: so much memory is here (it is {study.engine.cpu_kvcache_gib})"
        )
        yield StudyProblem(("engine", "cpu_kvcache_gib"), words)
        return
    if not boards:
        return
    for index, name in enumerate(study.variants):
        if name not in study.own_variants:
            continue
        variant = load_variant(name, study.defined)
        settings = with_arguments(study.engine, variant.engine_args)
        of_a_copy = settings.tensor_parallel * settings.pipeline_parallel
        room = min(boards) * of_a_copy * settings.gpu_memory_utilization
        for model, known in models.items():
            if known.shape is None:
                continue
            size = weight_bytes(pruned_shape(known.shape, variant), variant)
            if size > room:
                words = (
                    f"the weights of {name} of {model} take {size / _GIB:.1f} GiB, and there is room for "
                    f"{room / _GIB:.1f} GiB here: take a smaller model or format, or more engine.tensor_parallel"
                )
                yield StudyProblem(("variants", index), words, EngineError)


def _without_disk(study: Study, models: Mapping[str, Known]) -> Iterator[StudyProblem]:
    """Find whether the checkpoints that are to be built are more than the disk has room for."""
    needed = preparation(study, models, Store(store_root()), on_gpu=False)
    if needed.disk_bytes > needed.free_bytes:
        words = (
            f"their checkpoints take {size_words(needed.disk_bytes)}, and {size_words(needed.free_bytes)} are free in "
            f"{store_root()}: `starwatt build --prune` frees some, and STARWATT_STORE names a folder on another disk"
        )
        yield StudyProblem(("variants",), words, BuildError)
