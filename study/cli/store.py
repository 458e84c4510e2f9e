"""``starwatt build --list`` and ``--prune``: what the checkpoint store holds, and what no build finds any more."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rich.table import Table

from server.build.recipes import out_of_date
from server.build.store import Store, Stored, store_root
from study.cli.answers import print_json
from study.progress.display import console, tell


@dataclass(frozen=True)
class Entry:
    """One checkpoint of the store; ``state`` is ok, or why no build takes it."""

    path: str
    about: str
    size_mib: float
    state: str


def list_store(*, as_json: bool) -> None:
    """Print every checkpoint with its state; each is read whole."""
    store = Store(store_root())
    entries = [_entry(checkpoint) for checkpoint in store.stored()]
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    table = Table("checkpoint", "MiB", "state", "folder")
    for entry in entries:
        table.add_row(entry.about, f"{entry.size_mib:.1f}", entry.state, entry.path)
    console.print(table)
    tell(f"{len(entries)} checkpoints, {sum(entry.size_mib for entry in entries):.0f} MiB in {store.root}")


def prune_store(*, as_json: bool) -> None:
    """Remove the checkpoints whose state is not ok, and what killed builds left; say which and how much."""
    store = Store(store_root())
    stored = list(store.stored())
    sources = {str(checkpoint.provenance.get("digest")) for checkpoint in stored if not _amiss(checkpoint)}
    removed = []
    for checkpoint in stored:
        state = _amiss(checkpoint) or _orphaned(checkpoint, sources, stored)
        if state:
            store.remove(checkpoint.path.name)
            removed.append(_entry(checkpoint, state))
    left_overs = store.remove_left_overs()
    if as_json:
        told = {
            "removed": [asdict(entry) for entry in removed],
            "left_overs": [str(path) for path in left_overs],
        }
        print_json(told)
        return
    for entry in removed:
        tell(f"removed {entry.about} ({entry.size_mib:.1f} MiB): {entry.state}")
    for path in left_overs:
        tell(f"removed what a killed build left: {path}")
    tell(f"{sum(entry.size_mib for entry in removed):.0f} MiB freed in {store.root}")


def _entry(checkpoint: Stored, state: str | None = None) -> Entry:
    known_state = state or _amiss(checkpoint) or "ok"
    return Entry(str(checkpoint.path), checkpoint.about, checkpoint.size_bytes / 2**20, known_state)


def _amiss(checkpoint: Stored) -> str | None:
    """Say why no build takes it: not whole, or made by other code or packages than those here."""
    if not checkpoint.provenance:
        return "damaged: its provenance cannot be read"
    damage = checkpoint.damage()
    if damage:
        return f"damaged: {damage}"
    why = out_of_date(checkpoint.provenance.get("recipe", {}))
    return f"out of date: {why}" if why else None


def _orphaned(checkpoint: Stored, sources: set[str], stored: list[Stored]) -> str | None:
    """Say whether it was made from a checkpoint of this store that goes too: the next build has another source."""
    source = checkpoint.provenance.get("recipe", {}).get("source")
    digests = {str(other.provenance.get("digest")) for other in stored}
    return "out of date: its source is" if source in digests and source not in sources else None
