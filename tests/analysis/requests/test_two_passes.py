"""A cell that is read by row groups tells what plain loops over its rows tell, whatever the groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.attribution.phase import stretches_of
from analysis.attribution.rules import by_tokens, flights, in_flight
from analysis.cells.second_look import look_again
from analysis.energy.integral import Curve
from analysis.energy.moments import At, OfChunks
from analysis.requests import gaps, slabs
from analysis.requests.columns import Requests, read_columns
from analysis.requests.window import Window, measured_window, shares_in
from starwatt_errors import TraceError
from tests.analysis.requests.plain_attribution import Row, plain, spread_of
from tests.support.builders import MS, request, work_of
from traces import pieces
from traces.pieces import InMemory, OnDisk, open_trace
from traces.schemas import REQUESTS
from traces.streams import read_trace, stamped

ROWS = 120


def rows(rng: np.random.Generator) -> list[Row]:
    """Requests of many kinds: with tokens or without, of no chunk or of many, failed ones between them."""
    made = []
    for identity in range(ROWS):
        sent = int(rng.integers(0, 8_000))
        count = int(rng.choice([0, 1, 3, 40], p=[0.1, 0.1, 0.6, 0.2]))
        chunks = (sent + 5 + np.cumsum(rng.integers(0, 60, count))) * MS + rng.integers(0, 1000, count)
        chunks.sort()
        tokens: list[Any] | None = rng.integers(0, 3, count).tolist()
        kind = rng.choice(["told", "not told", "nonsense"], p=[0.7, 0.2, 0.1])
        tokens = None if kind == "not told" else [*(tokens or []), 1] if kind == "nonsense" else tokens
        end = int(chunks[-1]) if count else (sent + 50) * MS
        row = request(
            identity,
            sent,
            0,
            end_ns=end,
            chunk_ns=chunks.tolist(),
            chunk_tokens=tokens,
            first_token_ns=int(chunks[0]) if count else None,
            output_tokens=int(rng.integers(1, 60)),
            prompt_tokens=int(rng.integers(0, 900)) if rng.random() > 0.1 else None,
            cached_tokens=int(rng.integers(0, 300)) if rng.random() > 0.5 else None,
            status="ok" if rng.random() > 0.1 else "timeout",
            chunk_chars=None,
        )
        made.append(row)
    return made


def written(folder: Path, made: list[Row], group: int) -> Path:
    """The rows as a file with so many to a row group."""
    folder.mkdir()
    table = pa.Table.from_pylist(made, schema=stamped(REQUESTS))
    pq.write_table(table, folder / "requests.parquet", row_group_size=group)
    return folder


def looked_at(requests: Requests, window: Window, curve: Curve) -> dict[str, Any]:
    """Everything that is computed from chunks."""
    seen = look_again(requests, window, None)
    lives = flights(requests.sent_ns, requests.end_ns, window)
    share = shares_in(requests, window)
    return {
        "work": seen.work.requests,
        "stretches": seen.work.stretches,
        "tokens": share.tokens,
        "in_flight_j": in_flight(lives, [curve]).energy_j,
        "tokens_j": by_tokens(share.tokens, curve.total_j).energy_j,
        "itl": seen.itl_ms,
        "pieces": requests.inside_of(window).pieces,
        "pulse": seen.chunks.pulse(window).counts,
        "coherence": seen.chunks.coherence(3.0, window),
    }


def small_steps(monkeypatch: pytest.MonkeyPatch, chunks: int, kept: int) -> None:
    """Slabs of so few chunks, pieces of a few rows, no more gaps kept, and equal ones put together often."""
    monkeypatch.setattr(slabs, "SLAB_CHUNKS", chunks)
    monkeypatch.setattr(pieces, "_MOST_ROWS", 7)
    monkeypatch.setattr(gaps, "MOST_KEPT", kept)
    monkeypatch.setattr(gaps, "_MOST_DISTINCT", 2)


CURVE_S = np.linspace(0.0, 60.0, 400)


@pytest.mark.parametrize("group", [ROWS, 50, 1], ids=lambda rows: f"{rows} rows a group")
@pytest.mark.parametrize("seed", range(4))
def test_row_groups_tell_what_loops_over_rows_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, group: int
) -> None:
    rng = np.random.default_rng(seed)
    made = rows(rng)
    small_steps(monkeypatch, chunks=64, kept=100)
    requests = read_columns(OnDisk(written(tmp_path / "cell", made, group) / "requests.parquet", "requests"))
    window = measured_window(requests)
    assert window is not None
    curve = Curve(CURVE_S, np.concatenate(([0.0], np.cumsum(rng.uniform(0, 40, CURVE_S.size - 1)))))
    found, loops = looked_at(requests, window, curve), plain(made, window, curve)
    np.testing.assert_allclose(found["work"], loops.work, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["tokens"], loops.tokens, rtol=1e-12)
    np.testing.assert_allclose(
        found["in_flight_j"], loops.in_flight_j, rtol=1e-12, atol=1e-12 * curve.total_j
    )
    assert len(loops.gaps_ms) > 100, "too few to need a second look"
    assert found["itl"] == pytest.approx(spread_of(loops.gaps_ms), rel=1e-12)


@pytest.mark.parametrize("group", [ROWS, 13, 1], ids=lambda rows: f"{rows} rows a group")
def test_how_a_file_lies_on_the_disk_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    made = rows(np.random.default_rng(9))
    curve = Curve(CURVE_S, CURVE_S * 300.0)
    small_steps(monkeypatch, chunks=64, kept=100)
    folder = written(tmp_path / "cell", made, group)
    whole = read_columns(InMemory(read_trace(folder, "requests")))
    window = measured_window(whole)
    assert window is not None
    at_once = looked_at(whole, window, curve)
    by_groups = looked_at(read_columns(OnDisk(folder / "requests.parquet", "requests")), window, curve)
    for name, value in at_once.items():
        assert (
            np.array_equal(value, by_groups[name])
            if isinstance(value, np.ndarray)
            else value == by_groups[name]
        )


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
def test_percentiles_of_more_gaps_than_are_kept_are_those_of_all(
    monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.lognormal(2.0, 1.5, (40, 50)) * scale * MS, axis=1).astype(np.int64) + 10**9
    made = [
        request(
            at, 0, 0, chunk_ns=own.tolist(), chunk_tokens=rng.integers(1, 4, 50).tolist(), end_ns=int(own[-1])
        )
        for at, own in enumerate(times)
    ]
    few = read_columns(pa.Table.from_pylist(made, schema=REQUESTS))
    small_steps(monkeypatch, chunks=128, kept=10)
    many = read_columns(pa.Table.from_pylist(made, schema=REQUESTS))
    assert few.gaps.values_ms is not None
    assert many.gaps.values_ms is None
    kept, looked = few.gaps.spread(few.chunks), many.gaps.spread(many.chunks)
    assert looked["mean"] == pytest.approx(kept["mean"], rel=1e-13)
    assert [looked[f"p{q}"] for q in (50, 90, 99)] == [kept[f"p{q}"] for q in (50, 90, 99)]


def test_moments_of_chunks_are_those_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rows(np.random.default_rng(5))
    small_steps(monkeypatch, chunks=64, kept=100)
    requests = read_columns(pa.Table.from_pylist(made, schema=REQUESTS))
    window = measured_window(requests)
    assert window is not None
    at_hand = At(np.array([t_ns for row in made for t_ns in row["chunk_ns"]], dtype=np.int64))
    of_chunks = OfChunks(requests.chunks)
    stretch = Window(window.start_ns + 1000 * MS, window.start_ns + 2345 * MS)
    assert of_chunks.count(stretch) == at_hand.count(stretch) > 0
    assert of_chunks.coherence(7.5, window) == pytest.approx(at_hand.coherence(7.5, window), rel=1e-9)
    np.testing.assert_allclose(of_chunks.pulse(window).counts, at_hand.pulse(window).counts, atol=1e-9)


def test_chunks_of_a_large_cell_are_read_twice_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_steps(monkeypatch, chunks=64, kept=100)
    trace = OnDisk(
        written(tmp_path / "cell", rows(np.random.default_rng(2)), 20) / "requests.parquet", "requests"
    )
    passes: list[bool] = []
    read = OnDisk.pieces

    def counted(self: OnDisk, names: Sequence[str]) -> Iterator[pa.Table]:
        passes.append("chunk_ns" in names)
        return read(self, names)

    monkeypatch.setattr(OnDisk, "pieces", counted)
    requests = read_columns(trace)
    window = measured_window(requests)
    assert window is not None
    seen = look_again(requests, window, None)
    shares_in(requests, window)
    seen.chunks.pulse(window)
    assert sum(passes) == 2
    work = work_of(requests, window, stretches_of(window.seconds))
    assert sum(passes) == 3, "each pass is counted"
    assert np.array_equal(work.requests, seen.work.requests)


def test_what_is_wrong_with_a_large_file_is_found_though_nobody_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "SMALL", 0)
    made = rows(np.random.default_rng(1))
    made[ROWS // 2]["chunk_ns"] = [1 << 62]
    folder = written(tmp_path / "cell", made, 10)
    with pytest.raises(TraceError, match="chunk_ns holds"):
        read_columns(open_trace(folder, "requests"))
    content = bytearray(
        (written(tmp_path / "flipped", rows(np.random.default_rng(1)), 10) / "requests.parquet").read_bytes()
    )
    content[len(content) // 3 : len(content) // 3 + 200] = bytes(200)
    (tmp_path / "flipped" / "requests.parquet").write_bytes(content)
    with pytest.raises(TraceError, match=r"requests\.parquet.*restore it from a copy"):
        read_columns(open_trace(tmp_path / "flipped", "requests"))
