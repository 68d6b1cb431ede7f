"""Opens FruitVision in the browser: ``python app.py`` is ``python -m fruitvision app``."""

import sys


def main(argv=None):
    """Open the app and stay until it is closed; return the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036
        found = ".".join(map(str, sys.version_info[:3]))
        print(
            f"Error: FruitVision needs Python 3.11 or newer; this is {found}. Install one from python.org, "
            "make a new virtual environment with it, and try again.",
            file=sys.stderr,
        )
        return 1
    from fruitvision.__main__ import main as run

    return run(["app", *(sys.argv[1:] if argv is None else argv)], program="python -m fruitvision")


if __name__ == "__main__":
    sys.exit(main())
