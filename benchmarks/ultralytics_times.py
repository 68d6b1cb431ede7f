"""Times of training and prediction with Ultralytics, as a separate program, since Ultralytics is licensed under the AGPL.

    python -m benchmarks.ultralytics_times FOLDER PICTURE --batch 32 --side 224 --steps 8 --answers 20

FOLDER has train/ and val/. The network is yolo11n-cls from random weights, which needs a ninth of the operations of a ResNet18. Prints
one line of JSON: the seconds of ``steps`` training steps, after a warm-up, and of one prediction for PICTURE.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from fruitvision.compat import import_torchvision

WARM_UP = 3


class _StopTraining(Exception):
    pass


def main() -> int:
    """Print the times; return 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    for name in ("batch", "side", "steps", "answers"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    import_torchvision()
    from ultralytics import YOLO  # pyright: ignore[reportMissingImports, reportPrivateImportUsage]  # whoever measures installs it

    logging.getLogger("ultralytics").setLevel(logging.ERROR)
    network, marks = YOLO("yolo11n-cls.yaml"), []

    def stepped(_: object) -> None:
        marks.append(time.perf_counter())
        if len(marks) > WARM_UP + given.steps:
            raise _StopTraining

    network.add_callback("on_train_batch_end", stepped)
    with TemporaryDirectory(prefix="fruitvision-benchmark-") as project:
        try:
            network.train(
                data=str(given.folder), imgsz=given.side, batch=given.batch, workers=2, device="cpu", epochs=100,
                amp=False, plots=False, save=False, val=False, verbose=False, project=project,
            )  # fmt: skip
        except _StopTraining:
            pass
        training = marks[-1] - marks[WARM_UP]
    answerer = YOLO("yolo11n-cls.yaml")
    for _ in range(WARM_UP):
        answerer.predict(given.picture, imgsz=given.side, device="cpu", verbose=False)
    started = time.perf_counter()
    for _ in range(given.answers):
        answerer.predict(given.picture, imgsz=given.side, device="cpu", verbose=False)
    print(json.dumps({"training": training, "answer": (time.perf_counter() - started) / given.answers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
