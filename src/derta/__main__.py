"""The `derta` command, also as `python -m derta`, the form that `accelerate launch -m derta` needs.

Ctrl-C at any moment, in the first import too, is one line and exit code 130.
"""

import _thread
import os
import signal
import sys
import threading

STOPPED = "stopped; the same command continues"


def main() -> None:
    """Run the command line (see `derta.cli.main`)."""
    plain_hook = sys.unraisablehook

    def unraisable(problem: "sys.UnraisableHookArgs") -> None:
        """Python only prints, with a traceback, what breaks in a destructor; a Ctrl-C there is to be had again."""
        if problem.exc_type is KeyboardInterrupt:
            threading.Timer(
                0.02, _thread.interrupt_main
            ).start()  # at once, it would come inside of this hook
        else:
            plain_hook(problem)

    sys.unraisablehook = unraisable
    try:
        from derta.cli import main as run_verb

        run_verb()
    except BaseException as error:
        if not _is_stopped(error):
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the second Ctrl-C would show how Python ends
        if os.environ.get("RANK", "0") == "0":  # of the processes of one launch
            start = "\n" if sys.stderr.isatty() else ""  # after the terminal's ^C
            print(f"{start}{STOPPED}", file=sys.stderr)
        sys.exit(130)


def _is_stopped(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it; a library that is just being imported may turn it into an error of its own."""
    if isinstance(error, SystemExit):
        return error.code == 130
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    main()
