"""``python -m benchmarks.gpu``."""

from benchmarks.gpu.stage import main

raise SystemExit(main())
