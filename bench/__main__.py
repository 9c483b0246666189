"""`python -m medbench.bench`, and the script `medbench`: the command line, whose every mistake is one line."""

import sys

from .cli import app
from .cli.terminal import console

STOPPED = 130


def main() -> None:
    """Runs a command. Typer itself would spread a wrong option over four lines."""
    try:
        code = app(standalone_mode=False)
    except BrokenPipeError:  # the reader of a pipe has gone
        sys.exit(1)
    except Exception as error:
        kind = type(error).__name__
        if kind == "Abort":  # Ctrl-C
            sys.exit(STOPPED)
        if kind == "NoArgsIsHelpError":
            print(str(error))
            sys.exit(2)
        tell = getattr(error, "format_message", None)  # which the parser's own errors have
        if tell is None:
            raise
        console(stderr=True).print(f"error: {tell().rstrip('.')}; --help says what there is")
        sys.exit(2)
    sys.exit(code)


if __name__ == "__main__":
    main()
