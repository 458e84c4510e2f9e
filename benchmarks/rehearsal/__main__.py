"""``python -m benchmarks.rehearsal``."""

from benchmarks.rehearsal.command import main

raise SystemExit(main())
