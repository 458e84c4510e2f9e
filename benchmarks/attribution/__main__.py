"""``python -m benchmarks.attribution``."""

from benchmarks.attribution.bench import main

raise SystemExit(main())
