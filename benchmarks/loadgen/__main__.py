"""``python -m benchmarks.loadgen``."""

from benchmarks.loadgen.bench import main

raise SystemExit(main())
