"""``python -m benchmarks.grading``."""

from benchmarks.grading.speed import main

raise SystemExit(main())
