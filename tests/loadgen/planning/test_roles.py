"""Who is measured, what surrounds them, and when requests are sent."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.datasets import load_dataset
from loadgen.flags import LoadFlags
from loadgen.planning.agenda import Agenda
from loadgen.planning.arrivals import arrival_offsets_ns
from loadgen.planning.prompts import choose_tasks, passes, seeded
from starwatt_errors import UsageError
from tests.support.driving import (
    SINGLE,
    TASK_OF_PROMPT,
    TASKS,
    Driven,
    closed,
    constant,
    drive,
    make_spec,
    requests,
)
from tests.support.driving import passes as whole_passes
from tests.support.server import Answer, TruthServer

MS = 1_000_000
POISSON = {"kind": "open", "qps": 200, "arrivals": "poisson"}
DATASET = load_dataset("starwatt-24")


def run(
    out: Path, load: dict[str, Any], answer: Answer | None = None, **changes: Any
) -> tuple[Driven, TruthServer]:
    """A load on a server that always answers like this."""
    with TruthServer(lambda _: answer or Answer()) as server:
        return drive(make_spec(server.url, load, **changes), out), server


@pytest.mark.parametrize(
    "load", [SINGLE, closed(3), constant(150), POISSON], ids=["single", "closed", "open", "poisson"]
)
@pytest.mark.parametrize("count", [1, 3])
def test_every_task_is_measured_exactly_as_often_as_there_are_passes(
    tmp_path: Path, load: dict[str, Any], count: int
) -> None:
    driven, _ = run(tmp_path, load, amount=whole_passes(count), warmup_s=0.05)
    measured = Counter((row["task_id"], row["sample"]) for row in driven.of("measured"))
    assert len(measured) == TASKS * count
    assert set(measured.values()) == {1}
    assert {sample for _, sample in measured} == set(range(count))


@pytest.mark.parametrize("load", [SINGLE, closed(3), constant(150)], ids=["single", "closed", "open"])
def test_warm_up_comes_before_and_filler_after_all_measured_requests(
    tmp_path: Path, load: dict[str, Any]
) -> None:
    driven, _ = run(tmp_path, load, Answer(gap_s=0.002), warmup_s=0.1)
    rows = sorted(driven.rows, key=lambda row: row["request_id"])
    roles = [row["role"] for row in rows]
    assert roles == sorted(roles, key=["warmup", "measured", "filler"].index)
    phases = driven.result.phases
    assert phases.warmup is not None
    within = [row["scheduled_ns"] - phases.warmup.start_ns < 100 * MS for row in rows]
    assert [role == "warmup" for role in roles] == within
    assert phases.window is not None
    assert phases.drain is not None
    measured = driven.of("measured")
    assert phases.window.start_ns == min(row["sent_ns"] for row in measured)
    assert phases.window.end_ns == max(row["end_ns"] for row in measured)
    assert phases.warmup.end_ns == phases.window.start_ns
    assert phases.drain.start_ns == phases.window.end_ns
    assert max(row["end_ns"] for row in driven.rows) <= phases.drain.end_ns
    assert measured[0]["scheduled_ns"] - phases.warmup.start_ns >= 100 * MS


def test_single_stream_never_has_two_in_flight_and_needs_no_filler(tmp_path: Path) -> None:
    driven, server = run(tmp_path, SINGLE, Answer(gap_s=0.001), amount=whole_passes(2))
    assert server.most_in_flight == 1
    assert not driven.of("filler")
    rows = driven.of("measured")
    for before, after in pairwise(rows):
        assert before["end_ns"] <= after["scheduled_ns"] <= after["sent_ns"]


def test_closed_keeps_exactly_n_in_flight_until_the_last_measured_request_has_ended(tmp_path: Path) -> None:
    # Nothing is answered unless four are in flight: less, and the measured requests would never end.
    driven, server = run(
        tmp_path,
        closed(4),
        Answer(until_in_flight=4),
        amount=whole_passes(3),
        drain_s=0.2,
        request_timeout_s=5,
    )
    assert {row["status"] for row in driven.of("measured")} == {"ok"}
    assert server.most_in_flight == 4
    assert {row["status"] for row in driven.of("filler")} <= {"ok", "aborted"}


def test_open_keeps_offering_filler_until_the_last_measured_request_has_ended(tmp_path: Path) -> None:
    def slow_for_the_last(asked: Any) -> Answer:
        return Answer(until_seen=3 * TASKS) if asked.number == TASKS - 1 else Answer()

    with TruthServer(slow_for_the_last) as server:
        driven = drive(make_spec(server.url, constant(200)), tmp_path)
    assert len(driven.of("filler")) >= 2 * TASKS
    assert {row["status"] for row in driven.rows} == {"ok"}


def test_what_is_in_flight_at_the_end_is_cut_off_after_the_drain_and_still_a_row(tmp_path: Path) -> None:
    def never_for_filler(asked: Any) -> Answer:
        if asked.number == TASKS - 1:
            return Answer(until_seen=TASKS + 3)
        return Answer() if asked.number < TASKS else Answer(until_seen=1000)

    with TruthServer(never_for_filler) as server:
        driven = drive(make_spec(server.url, constant(200), drain_s=0.1), tmp_path)
    assert {row["status"] for row in driven.of("measured")} == {"ok"}
    assert {row["status"] for row in driven.of("filler")} == {"aborted"}
    assert driven.result.errors == {"aborted": len(driven.of("filler"))}
    assert len(driven.rows) == len(server.asked)


@pytest.mark.parametrize("load", [SINGLE, closed(2), constant(100)], ids=["single", "closed", "open"])
def test_whole_passes_are_added_until_the_least_time_is_reached(tmp_path: Path, load: dict[str, Any]) -> None:
    driven, _ = run(tmp_path, load, Answer(tokens=2, gap_s=0.002), amount=whole_passes(1, min_s=0.3))
    measured = driven.of("measured")
    assert len(measured) % TASKS == 0
    assert measured[-1]["end_ns"] - measured[0]["scheduled_ns"] >= 280 * MS
    last = measured[-TASKS][
        "scheduled_ns"
    ]  # the first one of all, where a slow machine needed no second pass
    assert last - measured[0]["scheduled_ns"] < 300 * MS


@pytest.mark.parametrize("load", [SINGLE, closed(3), constant(200)], ids=["single", "closed", "open"])
def test_so_many_requests_are_so_many(tmp_path: Path, load: dict[str, Any]) -> None:
    driven, _ = run(tmp_path, load, amount=requests(2 * TASKS + 1))
    assert len(driven.of("measured")) == 2 * TASKS + 1


@pytest.mark.parametrize("load", [closed(2), constant(100)], ids=["closed", "open"])
def test_a_duration_measures_what_is_offered_within_it(tmp_path: Path, load: dict[str, Any]) -> None:
    driven, _ = run(tmp_path, load, Answer(gap_s=0.002), amount={"kind": "duration", "seconds": 0.25})
    measured = driven.of("measured")
    offered_ns = [row["scheduled_ns"] - measured[0]["scheduled_ns"] for row in measured]
    assert max(offered_ns) < 250 * MS
    if load["kind"] == "open":
        assert len(measured) == 25


def test_a_duration_shorter_than_one_answer_ends_with_it(tmp_path: Path) -> None:
    driven, _ = run(tmp_path, SINGLE, Answer(gap_s=0.02), amount={"kind": "duration", "seconds": 0.001})
    assert [row["status"] for row in driven.rows] == ["ok"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_duration_does_not_wait_for_the_request_that_is_due_after_it(workers: int) -> None:
    amount = {"kind": "duration", "seconds": 5}
    spec = make_spec("http://x", constant(0.01), amount=amount, workers=workers)
    agenda = Agenda(spec, choose_tasks(DATASET, TASKS, 20))

    def stands() -> tuple[bool, bool]:
        return agenda.all_handed_out, agenda.over

    assert agenda.next(0) is not None
    assert stands() == (False, False)
    agenda.none_due_before(100_000 * MS)
    assert stands() == (True, False)
    agenda.measured_ended()
    assert stands() == (True, True)


def test_an_open_load_of_a_duration_ends_when_its_last_request_has(tmp_path: Path) -> None:
    minutes_apart = constant(0.001)
    driven, _ = run(tmp_path, minutes_apart, amount={"kind": "duration", "seconds": 1})
    assert [row["status"] for row in driven.rows] == ["ok"]


@pytest.mark.parametrize(("qps", "enough_s"), [(0.01, 100), (0.07, 15)])
def test_a_duration_within_which_no_request_is_due_is_refused(qps: float, enough_s: int) -> None:
    flags: dict[str, Any] = {
        "url": "http://h", "model": "m", "single_stream": False, "concurrency": None, "arrivals": None,
        "trace": None, "requests": None, "warmup": 0.0, "dataset": "starwatt-24", "max_tokens": 8,
        "ignore_eos": False, "seed": 1,
    }  # fmt: skip
    with pytest.raises(
        UsageError, match=rf"--duration 2: at --qps {qps} no request .* {enough_s} s and more"
    ):
        LoadFlags(**flags, qps=qps, duration=2).spec()
    assert LoadFlags(**flags, qps=qps, duration=enough_s).spec()


def test_open_requests_are_due_on_the_schedule_and_never_sent_before(tmp_path: Path) -> None:
    driven, _ = run(tmp_path, constant(250), amount=whole_passes(6))
    rows = sorted(driven.rows, key=lambda row: row["request_id"])
    assert {after["scheduled_ns"] - before["scheduled_ns"] for before, after in pairwise(rows)} == {4 * MS}
    assert all(row["sent_ns"] >= row["scheduled_ns"] for row in rows)
    audit = driven.result.audit
    assert audit.offered_rate == pytest.approx(250)
    assert audit.lag_p50_ms is not None
    assert audit.lag_p50_ms >= 0


def test_a_server_that_stalls_does_not_stop_an_open_load_and_its_wait_counts_as_latency(
    tmp_path: Path,
) -> None:
    # The first is answered when 40 others were asked: a load that waited for it would never get there.
    with TruthServer(lambda asked: Answer(until_seen=40) if asked.number == 0 else Answer()) as server:
        driven = drive(make_spec(server.url, constant(200), amount=requests(50)), tmp_path)
    first = driven.of("measured")[0]
    assert first["status"] == "ok"
    assert first["first_token_ns"] - first["scheduled_ns"] >= 38 * 5 * MS
    assert driven.result.audit.offered_rate == pytest.approx(200)


def test_arrivals_and_order_do_not_depend_on_the_servers_speed(tmp_path: Path) -> None:
    asked, due = [], []
    for name, answer in (("fast", Answer()), ("slow", Answer(gap_s=0.02))):
        driven, server = run(tmp_path / name, POISSON, answer, amount=whole_passes(2))
        measured = driven.of("measured")
        start_ns = measured[0]["scheduled_ns"]
        due.append([row["scheduled_ns"] - start_ns for row in measured])
        asked.append([TASK_OF_PROMPT[request.body["prompt"]] for request in server.asked][: len(measured)])
        assert asked[-1] == [row["task_id"] for row in measured]
    assert due[0] == due[1]
    assert asked[0] == asked[1]


def test_constant_gaps_are_exact_and_do_not_drift() -> None:
    offsets = arrival_offsets_ns(3, "constant", seeded(1))
    assert [next(offsets) for _ in range(3001)][::1000] == [0, 333_333_333_333, 666_666_666_667, 10**12]


def test_poisson_gaps_have_the_mean_and_the_spread_of_their_rate() -> None:
    offsets = arrival_offsets_ns(8, "poisson", seeded(1))
    gaps_s = np.diff([next(offsets) for _ in range(20_001)]) * 1e-9
    assert gaps_s.mean() == pytest.approx(1 / 8, rel=0.03)
    assert gaps_s.std() == pytest.approx(1 / 8, rel=0.03)
    assert gaps_s.min() >= 0


def drawn(seed: int, block: int, load: dict[str, Any]) -> list[str]:
    """The tasks of three passes in their order."""
    spec = make_spec("http://x", load, seed=seed, block=block)
    agenda = Agenda(spec, choose_tasks(DATASET, "all", seed))
    return [item.task.task_id for _ in range(24) if (item := agenda.next(0)) is not None]


def test_order_is_the_same_for_the_same_seed_block_and_load_and_another_for_each_other() -> None:
    orders = [drawn(20, 1, SINGLE), drawn(20, 2, SINGLE), drawn(21, 1, SINGLE), drawn(20, 1, closed(8))]
    assert drawn(20, 1, SINGLE) == orders[0]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_arrivals_are_the_same_for_the_same_seed_block_and_load_and_another_for_each_other() -> None:
    keys = [(20, 1, "open-8-poisson"), (20, 2, "open-8-poisson"), (21, 1, "open-8-poisson"), (20, 1, "busy")]

    def first_ten(key: tuple[int, int, str]) -> tuple[int, ...]:
        offsets = arrival_offsets_ns(8, "poisson", seeded(*key, "arrivals"))
        return tuple(next(offsets) for _ in range(10))

    assert first_ten(keys[0]) == first_ten(keys[0])
    assert len({first_ten(key) for key in keys}) == 4


def test_passes_of_one_load_are_in_orders_of_their_own() -> None:
    drawing = passes(list(DATASET.tasks), 20, 1, "closed-8", "measured")
    orders = [[task.task_id for _, task in (next(drawing) for _ in DATASET.tasks)] for _ in range(2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_a_subset_depends_on_the_seed_alone_and_keeps_the_datasets_order() -> None:
    subset = choose_tasks(DATASET, 7, 20)
    assert subset == choose_tasks(DATASET, 7, 20)
    assert subset != choose_tasks(DATASET, 7, 21)
    assert len({task.task_id for task in subset}) == 7
    positions = [DATASET.tasks.index(task) for task in subset]
    assert positions == sorted(positions)
    assert choose_tasks(DATASET, 1000, 20) == list(DATASET.tasks)


@pytest.mark.parametrize(
    ("load", "asked", "count"),
    [(SINGLE, 5, 5), (closed(3), 7, 7), (closed(3), 1, 3)],
    ids=["single", "closed", "few"],
)
@pytest.mark.parametrize("token_s", [0.001, 0.01])
def test_a_number_of_warm_up_requests_is_the_same_however_fast_the_server_is(
    tmp_path: Path, load: dict[str, Any], asked: int, count: int, token_s: float
) -> None:
    driven, _ = run(tmp_path, load, Answer(gap_s=token_s), amount=whole_passes(1), warmup_requests=asked)
    assert [row["request_id"] for row in driven.of("warmup")] == list(range(count))
    assert [row["request_id"] for row in driven.of("measured")] == list(range(count, count + TASKS))
