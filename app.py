"""Opens FruitVision in the browser: ``python app.py``. The flags, then ``fruitvision.ui.app.launch()``."""

import argparse
import gc
import sys

HELP = {
    "--host": "address to listen on (default 127.0.0.1: this computer only)",
    "--port": "port to listen on (default: 7860, or the next free one)",
    "--root-path": "the path under which a reverse proxy serves the app, or its whole public address",
    "--data": "folder whose subfolders the Train panel offers as data",
    "--runs": "folder of training runs (default: runs)",
    "--taught": "folder of taught kinds (default: taught)",
    "--checkpoint": "checkpoint folder, or the name of a shipped one, that answers first",
}


class Parser(argparse.ArgumentParser):
    """Prints a mistake as one line."""

    def error(self, message):
        self.exit(2, f"Error: {message}. See: python app.py --help\n")


def parse(argv=None):
    parser = Parser(prog="app.py", description="Open FruitVision in the browser.", allow_abbrev=False)
    for flag, text in HELP.items():
        parser.add_argument(flag, type=int if flag == "--port" else str, help=text)
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--share", action="store_true", help="give out a public link through Gradio's servers, for 72 hours")
    who.add_argument("--public", action="store_true", help="visitors may classify and look; only the owner may train")
    parser.add_argument("--embed-in", metavar="ORIGIN", action="append", default=[], help="whose pages may show the app in a frame")
    parser.add_argument("--upload-quota", metavar="MB", type=int, default=1024, help="room for uploads in all (default 1024 MB)")
    parser.add_argument("--lang", choices=("en", "zh"), help="language at the start")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    return parser.parse_args(argv)


def main(argv=None):
    """Open the app and stay until it is closed; the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036
        found = ".".join(map(str, sys.version_info[:3]))
        print(
            f"Error: FruitVision needs Python 3.11 or newer; this is {found}. Install one from python.org, "
            "make a new virtual environment with it, and try again.",
            file=sys.stderr,
        )
        return 1
    flags = parse(argv)
    from fruitvision.__main__ import guarded

    return guarded(lambda: open_app(flags))


def open_app(flags):
    gc.disable()  # until the page stands: while libraries load there is little to collect, and a fifth of the time goes to looking
    from fruitvision.ui.app import launch

    launch(
        host=flags.host,
        port=flags.port,
        share=flags.share,
        public=flags.public,
        root_path=flags.root_path,
        embed_in=flags.embed_in,
        upload_quota=flags.upload_quota * 2**20,
        data=flags.data,
        runs=flags.runs,
        taught=flags.taught,
        checkpoint=flags.checkpoint,
        language=flags.lang,
        open_browser=not flags.no_browser,
    )


if __name__ == "__main__":
    sys.exit(main())
