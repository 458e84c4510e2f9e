"""The commands that no test types as they stand, each with the reason and with what stands for it.

A command that is shown and is not in here is typed (``test_commands.py``).
"""

from __future__ import annotations

NOT_TYPED = {
    "make setup": "minutes and 3 GB; .ci/run does it on a fresh machine, before any test",
    "make demo": "real vLLM, ten minutes: tests/live/test_demo.py; its study, shortened, is typed in README",
    "make test": "it is what runs this; .ci/run calls it",
    "make check": ".ci/run calls it",
    "(trap exit INT;": "beside a study on another machine: tests/study/test_distributed.py keeps such workers coming",
    "make slurm": "a part of make test",
    "deploy/slurm/one-machine.sh start /tmp/slurm 2": "root and Slurm: tests/support/slurm_cluster.py",
    "export SLURM_CONF=/tmp/slurm/slurm.conf": "tests/support/slurm_cluster.py, with a folder of its own",
    "starwatt run STUDY.yaml": "with executor: slurm: tests/study/executors/test_slurm.py",
    "deploy/slurm/one-machine.sh stop /tmp/slurm": "tests/support/slurm_cluster.py",
    "podman build": "a registry for the base; tests/deploy/test_images.py, and docs/measurements/images.md",
    "podman run": "the image; the command within it: tests/deploy/test_images.py",
    'export STARWATT_API_KEY="$(openssl': "a key for docker compose",
    'export STARWATT_METER_TOKEN="$(openssl': "a token for docker compose",
    "docker compose": "a daemon, a registry and a GPU: tests/deploy/test_compose.py",
    "starwatt run elsewhere.yaml --metrics-port 9521": "the study is typed there, the flag in docs/how-to.md",
    "nvidia-smi": "a board; the log that docs/import.md imports is a captured one's",
    "kubectl apply": "a cluster; the manifests: tests/deploy/test_k8s.py",
    "kubectl -n starwatt": "a cluster",
}
"""By how a command begins: why not."""


def why_not_typed(command: str) -> str | None:
    """The longest beginning that is listed decides."""
    words = command.split()
    for count in range(len(words), 0, -1):
        reason = NOT_TYPED.get(" ".join(words[:count]))
        if reason is not None:
            return reason
    return None
