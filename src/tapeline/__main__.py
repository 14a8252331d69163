"""`python -m tapeline`, and the command `tapeline`."""

import signal


def main() -> None:
    """Import the command line and run it. Ctrl-C while that is imported ends the process without a word: nothing has begun that could be told of."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started it wants it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until a command runs: `terminal.reporting`
    from tapeline.cli import main as run  # noqa: PLC0415 - half a second, in which Ctrl-C may come

    run()


if __name__ == "__main__":
    main()
