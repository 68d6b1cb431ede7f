"""Opens FruitVision in the browser: ``python app.py`` is ``fruitvision app``."""

import sys

OLDEST, NEWEST = (3, 11), (3, 14)


def main(argv=None):
    """Open the app and stay until it is closed; return the exit code."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        oldest, newest, found = (".".join(map(str, version)) for version in (OLDEST, NEWEST, sys.version_info[:3]))
        print(
            f"Error: FruitVision needs Python {oldest} to {newest}; this is {found}. Install Python {newest} from python.org, "
            "make a new virtual environment with it, and try again.",
            file=sys.stderr,
        )
        return 1
    from fruitvision.__main__ import main as run

    return run(["app", *(sys.argv[1:] if argv is None else argv)], program="python -m fruitvision")


if __name__ == "__main__":
    sys.exit(main())
