"""``starwatt serve``: one variant, until Ctrl-C."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

from configs.loader import named_variant
from configs.schema import EngineSettings
from server.build.foresight import known_model, source_of
from server.engines.engine import check_place
from server.engines.engine_spec import EngineSpec
from server.engines.refusal import refuse_what_cannot_be_served
from server.power.service.listen import check_host
from study.cli.build import said_of
from study.measure.checkpoints import build_all
from study.measure.engine_session import started
from study.measure.secrets import api_key
from study.progress.display import Display, tell
from study.records.left_boards import put_back_what_was_left
from traces.layout import model_slug

_POLL_S = 0.2


def serve_variant(variant: str, model: str, host: str, port: int, settings: EngineSettings) -> None:
    """Serve until interrupted, or until the engine dies."""
    check_host(host)
    check_place(host, port)
    put_back_what_was_left(tell)
    chosen = named_variant(variant)
    with said_of("--model", "models"):
        known = known_model(source_of(model, chosen), trust_remote_code=chosen.trust_remote_code)
        refuse_what_cannot_be_served((chosen,), settings, known.shape)
        checkpoint = build_all((model,), (variant,))[model, variant]
    spec = EngineSpec(
        model=model_slug(model),
        variant=chosen,
        checkpoint=checkpoint,
        settings=settings,
        port=port,
        host=host,
        api_key=api_key(),
    )
    log = Path("runs") / "serve" / f"{spec.model}-{chosen.name}-{port}.log"
    with Display("serving", 1) as display:
        display.title(f"{model} · {chosen.name}")
        engine = started(spec, log.resolve(), display.log)
    with engine:
        key = ' -H "Authorization: Bearer $STARWATT_API_KEY"' if spec.api_key else ""
        body = json.dumps({"model": spec.model, "prompt": "def fibonacci(n):", "max_tokens": 32})
        print(f"{engine.url}/v1  (model {spec.model}, log {log}; Ctrl-C stops it)")  # noqa: T201
        print(  # noqa: T201
            f"curl {engine.url}/v1/completions{key} -H 'Content-Type: application/json' -d {shlex.quote(body)}",
            flush=True,
        )
        while True:
            engine.check_alive("while it was serving")
            time.sleep(_POLL_S)
