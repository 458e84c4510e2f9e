"""``python -m vllm.entrypoints.cli.main serve`` as the runner starts it: the golden engine answers."""

from tests.golden.engine_process import main

if __name__ == "__main__":
    raise SystemExit(main())
