"""``python -m benchmarks.energy``."""

from benchmarks.energy.bench import main

raise SystemExit(main())
