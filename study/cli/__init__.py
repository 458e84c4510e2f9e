"""The command line: one file for each command that needs more than a call."""


def main() -> None:
    """Run ``starwatt``; the commands are imported when one is called."""
    from study.cli.app import main as run

    run()
