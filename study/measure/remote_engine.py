"""Measure engines that run elsewhere: nothing is started, and what is there is measured like any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from configs.loader import load_architecture
from configs.remote import RemoteSettings
from configs.schema import Study
from server.engines.remote import RemoteEngine
from server.power.service.client import MeterUnreachableError, ServiceClient
from server.power.service.token import TOKEN_VARIABLE
from server.process.waiting import ask_until
from starwatt_errors import MeterError, UsageError
from study.measure.chat_trial import refuse_without_chat
from study.measure.meter import OpenMeter, meter_here, meter_there, no_meter, server_pid
from study.measure.secrets import KEY_VARIABLE, read_secret
from study.records.this_node import this_node
from traces.atomic import write_json
from traces.cell import Node
from traces.layout import RunDir

_POLL_S = 1.0


def reach(study: Study, variant: str, status: Callable[[str], None]) -> RemoteEngine:
    """Return the engine of a variant, once it answers.

    Raises:
        EngineError: it does not, or serves something else.
        UsageError: its key is not where the study says.
    """
    engine = _engine(study.remote[variant])
    engine.wait_ready(study.remote[variant].wait_s, status)
    _refuse_without_chat(study, engine)
    architecture = load_architecture(study.models[0])
    if architecture is not None:  # what was built here is known by its name
        kind = architecture.weights.kind
        learnt = {"memorised": kind == "memorised", "random_weights": kind == "random"}
        engine.served = engine.served.model_copy(update=learnt)
    if engine.served.prefix_cache and not study.engine.prefix_cache:
        status(f"{engine.url} reuses prompts (prefix cache), which the study's engine settings rule out")
    return engine


def ask_once(study: Study, variant: str) -> RemoteEngine:
    """Return the engine of a variant, if it answers now, and its meter's service too.

    Raises:
        EngineError: it does not answer now, refuses the key, or serves something else.
        MeterError: the meter's service does not answer, or refuses.
    """
    named = study.remote[variant]
    engine = _engine(named)
    engine.wait_ready(0)
    _refuse_without_chat(study, engine)
    if named.meter not in (None, "local"):
        _host(named, variant, 0, lambda _: None)
    return engine


def _refuse_without_chat(study: Study, engine: RemoteEngine) -> None:
    if study.endpoint == "chat" and engine.model is not None:
        refuse_without_chat(engine.url, engine.model, engine.api_key)


def _engine(named: RemoteSettings) -> RemoteEngine:
    return RemoteEngine(named.root, named.model, read_secret(named.key, KEY_VARIABLE))


def meter_of(study: Study, variant: str, residents: Sequence[int] = ()) -> OpenMeter:
    """Choose what records a variant's engine; ``residents`` are those that were started here, and are loaded.

    Raises:
        UsageError: there is no token for the service.
    """
    named = study.remote[variant]
    if named.meter is None:
        return no_meter(Node(name=named.host))
    if named.meter == "local":
        return meter_here(
            study.meter_settings, server_pid(named.url), (*_residents(study, variant), *residents)
        )
    return meter_there(named.meter, _token(named, variant), study.meter_settings.sample_hz)


def _residents(study: Study, variant: str) -> tuple[int, ...]:
    """List the processes of the study's other engines on this machine, which are idle while this one is asked."""
    others = [engine for name, engine in study.remote.items() if name != variant and engine.meter == "local"]
    return tuple(pid for pid in (server_pid(engine.url) for engine in others) if pid is not None)


def describe(
    run: RunDir, study: Study, variant: str, engine: RemoteEngine, status: Callable[[str], None]
) -> None:
    """Write ``engines/<variant>.json``: what the engine and the meter's host say of themselves, once that answers.

    Raises:
        MeterError: the meter's service does not answer within ``wait_s``, or refuses.
    """
    named = study.remote[variant]
    told: dict[str, Any] = {"url": named.url, "meter": named.meter, "model": engine.model}
    told["served"] = engine.served.model_dump(mode="json")
    if named.meter not in (None, "local"):
        told["host"] = _host(named, variant, named.wait_s, status)
    elif named.meter == "local":
        told["host"] = {"name": this_node().name}
    write_json(run.root / "engines" / f"{variant}.json", told)


def _host(
    named: RemoteSettings, variant: str, wait_s: float, status: Callable[[str], None]
) -> dict[str, Any]:
    """Return what the meter's service says of its host."""
    with closing(ServiceClient(str(named.meter), _token(named, variant))) as client:
        try:
            return ask_until(
                lambda: client.ask("GET", "/v1/host"),
                MeterUnreachableError,
                wait_s,
                poll_s=_POLL_S,
                waiting=lambda: status(f"waiting for {client.url}"),
            )
        except MeterUnreachableError as error:
            raise MeterError(f"{error} (waited {wait_s:g} s)") from error


def check_secrets(study: Study, variant: str) -> None:
    """Find the key and the token of a variant before anything is measured.

    Raises:
        UsageError: one is not where the study says.
    """
    named, field = study.remote[variant], "key"
    try:
        read_secret(named.key, KEY_VARIABLE)
        if named.meter not in (None, "local"):
            field = "token" if named.token is not None else "meter"
            _token(named, variant)
    except UsageError as error:
        message = str(error).removeprefix(f"remote.{variant}.meter: ")
        raise UsageError(f"remote.{variant}.{field}: {message}") from error


def _token(named: RemoteSettings, variant: str) -> str:
    token = read_secret(named.token, TOKEN_VARIABLE)
    if token is None:
        raise UsageError(
            f"remote.{variant}.meter: set {TOKEN_VARIABLE} to the token of that service, or name its place in token:"
        )
    return token
