"""What was made once is there for all, and what failed is made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.once import once


def test_what_failed_is_made_again_and_what_is_there_is_not(tmp_path_factory: pytest.TempPathFactory) -> None:
    tries: list[Path] = []

    def make(folder: Path) -> None:
        tries.append(folder)
        (folder / "part").touch(exist_ok=False)
        if len(tries) == 1:
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        once(tmp_path_factory, "test-once", make)
    first = once(tmp_path_factory, "test-once", make)
    assert once(tmp_path_factory, "test-once", make) == first
    assert tries == [first, first]
    assert (first / "part").is_file()
