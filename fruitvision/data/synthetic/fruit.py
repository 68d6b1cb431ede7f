"""The fourteen kinds of synthetic fruit, which are fruit types of Fruits-360, as a table for ``bodies.paint``.

Each has several colours, shapes and poses, so that colour alone does not distinguish an apple from a tomato.
"""

from __future__ import annotations

from fruitvision.data.synthetic.bodies import Fruit, Mark, Stalk, bananas, cherries, grapes, half, pineapple, wedge
from fruitvision.data.synthetic.painting import gaussian, smoothstep
from fruitvision.data.synthetic.surface import beyond, blush, flesh, pips, pole, ribs, scales, seeds, spots, star, stripes, walls

PEEL = (Mark(spots(17, -0.1, 0.9), 0.86, 0.6, -0.011), Mark(spots(26, -0.2, 1), 0.9, 0.5, -0.006))


def segments(*colours: tuple[str, str]) -> Fruit:
    """The flesh of citrus fruit."""
    marks = (Mark(walls, "#f7f0cc", bump=-0.02), Mark(beyond(0.88, 0.93), "#f9f3d8"))
    return Fruit(colours, wide=(0.6, 1), pattern=flesh, marks=marks, arrange=half)


FRUIT: dict[str, Fruit] = {
    "Apple": Fruit(
        (("#e6a840", "#b20f1a"), ("#9e141f", "#7a0514"), ("#b8d14c", "#80b22e"), ("#edd666", "#e6b842"), ("#d6d661", "#d63338")),
        wide=(0.9, 0.97),
        tall=(0.82, 0.95),
        top=(-0.17, -0.1),
        bottom=(-0.1, 0),
        pattern=blush(-0.9, 0.55, streaks=0.45),
        marks=(Mark(spots(34, 0.6, 1), "#ede0a8", 0.35), Mark(pole(0.2), "#736b29", 0.75), Mark(pole(0.27), bump=-0.2)),
        gloss=(0.2, 0.5),
        sharpness=40,
        stalk=Stalk((0.25, 0.42), "#5c4024", leaf=0.3),
    ),
    "Banana": Fruit(
        (("#f5cc33", "#ebbd2e"), ("#edbd29", "#dba929"), ("#cccc42", "#b8bf3d"), ("#e6b238", "#cc9429")),
        wide=(0.17, 0.24),
        pattern=spots(6, 0.1, 0.8),
        gloss=0.12,
        sharpness=14,
        arrange=bananas,
        marks=(
            Mark(spots(11, 0.5, 0.7), "#5c3814", (0, 0.9)),
            Mark(beyond(0.6, 1), "#9ea833", 0.7),
            Mark(lambda on: gaussian(on.at.x - 0.3, 0.09) + gaussian(on.at.x + 0.42, 0.09), 0.8, 0.6, -0.015),
            Mark(beyond(0.94, 0.985), "#332614"),
        ),
    ),
    "Cherry": Fruit(
        (("#9e0814", "#bd141a"), ("#570512", "#750817"), ("#eba842", "#d63829"), ("#c71a14", "#db381f")),
        wide=(0.98, 1.06),
        tall=(0.9, 0.98),
        tilt=(0.3, 0.9),
        top=-0.07,
        marks=(Mark(pole(0.2), 0.4, 0.8, -0.04),),
        gloss=(0.5, 0.9),
        sharpness=70,
        arrange=cherries,
    ),
    "Grape": Fruit(
        (("#3d1a42", "#756b99"), ("#a8bd52", "#d1db99"), ("#942438", "#b8758a"), ("#241f42", "#666b9e")),
        wide=(0.92, 1.06),
        pattern=spots(4, -0.5, 1.7),
        arrange=grapes,
    ),
    "Kiwi": Fruit(
        (("#806133", "#4f3c20"), ("#6b4f29", "#423119"), ("#8f7542", "#594929")),
        wide=(0.74, 0.92),
        tilt=0.0,
        pattern=spots(24, -0.3, 1),
        marks=(Mark(spots(45, -0.3, 1), 0.7, 1, 0.012), Mark(pole(0.2), "#4c3d24")),
        gloss=0.05,
        sharpness=8,
        cut_chance=0.55,
        cut=Fruit(
            (*(("#76a82a", "#a5d84a"),) * 4, ("#d4b935", "#f0dc6e")),
            wide=(0.75, 0.95),
            pattern=flesh,
            arrange=half,
            marks=(Mark(beyond(0.34, 0.2), "#ebebbd"), Mark(pips(28, 0.43, 0.025, 0.26, 0.055), "#16110d"), Mark(beyond(0.85, 1), 0.75)),
        ),
    ),
    "Lemon": Fruit(
        (("#f5d629", "#f5ca20"), ("#f2e04c", "#f2d640"), ("#f2cc2c", "#f2c324"), ("#c2c738", "#c9c02c")),
        wide=(0.67, 0.8),
        tilt=(-0.1, 0.35),
        top=(0.1, 0.17),
        bottom=(0.06, 0.1),
        marks=(*PEEL, Mark(pole(0.35), "#b2b43d", 0.5)),
        cut=segments(("#e5d870", "#fcf29e")),
        cut_chance=0.25,
    ),
    "Lime": Fruit(
        (("#528f1f", "#528116"), ("#33701a", "#336512"), ("#80a82e", "#809720"), ("#b2b838", "#b2a627")),
        wide=(0.8, 0.92),
        tilt=(-0.1, 0.35),
        top=(0.03, 0.08),
        bottom=(0.02, 0.05),
        marks=(*PEEL, Mark(pole(0.35), 0.8, 0.5)),
        cut=segments(("#b4d160", "#d9ed8c")),
        cut_chance=0.28,
    ),
    "Orange": Fruit(
        (("#f28c1a", "#f27e12"), ("#ed7a14", "#ed6e0e"), ("#f0a329", "#f0981f")),
        wide=(0.9, 0.97),
        tall=0.9,
        tilt=(0.2, 1.4),
        marks=(*PEEL, Mark(star, "#667533"), Mark(pole(0.22), bump=-0.05)),
        cut=segments(("#ee8f1c", "#fcae3c"), ("#ee8f1c", "#fcae3c"), ("#b91f1d", "#d93a32")),
        cut_chance=0.28,
    ),
    "Pear": Fruit(
        (("#bdcc52", "#99b23d"), ("#ebd15c", "#dbad3d"), ("#c7a857", "#8f612e"), ("#d1c757", "#c2382e"), ("#8f1f24", "#700f1a")),
        wide=(0.7, 0.82),
        tall=0.93,
        tilt=(0, 0.2),
        neck=(0.36, 0.5),
        pattern=blush(-0.2, 1),
        gloss=(0.1, 0.3),
        marks=(Mark(spots(16, 0.45, 0.75), "#6b5729", 0.55), Mark(pole(0.22), "#755c2e", 0.6)),
        stalk=Stalk((0.25, 0.36), "#573d21", leaf=0.25),
    ),
    "Pineapple": Fruit(
        (("#66471a", "#db992e"), ("#42471f", "#b88f38"), ("#38421f", "#8f8a3d")),
        wide=(0.67, 0.78),
        tilt=0.0,
        pattern=lambda on: smoothstep(0.02, 0.5, scales(on)),
        gloss=0.15,
        sharpness=14,
        arrange=pineapple,
        marks=(
            Mark(scales, bump=0.045),
            Mark(lambda on: smoothstep(0.93, 0.985, scales(on)), "#573d1f", 0.75),
            Mark(pole(0.7), "#4f612b", 0.4),
        ),
    ),
    "Plum": Fruit(
        (("#421a42", "#661f42"), ("#700f29", "#9e1a29"), ("#ebb83d", "#db7a33"), ("#a8b847", "#ccbd52"), ("#291f42", "#42244c")),
        wide=(0.74, 0.94),
        tilt=(0, 0.7),
        gloss=0.2,
        sharpness=20,
        stalk=Stalk(0.2, "#665229", chance=0.6),
        marks=(
            Mark(spots(3, -0.35, 1), "#84859a", (0.1, 0.4)),
            Mark(lambda on: gaussian(on.longitude - 0.35, 0.08), 0.6, 0.6, -0.035),
            Mark(pole(0.14), 0.4, 0.7),
            Mark(pole(0.22), bump=-0.1),
        ),
    ),
    "Strawberry": Fruit(
        (("#cc1214", "#a30d10"), ("#b20a14", "#8f0710"), ("#db2e1f", "#af2019")),
        wide=(0.78, 0.9),
        tall=0.9,
        tilt=(0, 0.25),
        foot=(0.35, 0.55),
        pattern=spots(2, -0.5, 1),
        gloss=0.45,
        sharpness=34,
        marks=(Mark(pole(0.5), "#edcc9e", (0.2, 0.8)), Mark(seeds(1.8), 0.72, 0.7, -0.02), Mark(seeds(1), "#ebc257", bump=0.015)),
        stalk=Stalk((0.2, 0.3), "#57942e", star=8),
    ),
    "Tomato": Fruit(
        (
            ("#d11a0f", "#d92212"),
            ("#d11a0f", "#d92212"),
            ("#e04712", "#e66017"),
            ("#eda824", "#f2c62a"),
            ("#751414", "#821f18"),
            ("#8fa83d", "#9dcc49"),
        ),
        wide=0.96,
        tall=(0.78, 0.95),
        tilt=(0.25, 1.45),
        pattern=spots(2, -0.2, 1),
        gloss=(0.5, 0.8),
        sharpness=80,
        marks=(Mark(pole(0.33), "#9e9e38", 0.55), Mark(ribs, bump=0.06), Mark(pole(0.3), bump=-0.14)),
        stalk=Stalk(0.2, "#427524", chance=0.88, star=5),
    ),
    "Watermelon": Fruit(
        (("#9ebd6b", "#1f521f"), ("#759e4c", "#143d1a")),
        wide=(0.8, 0.96),
        tilt=(-0.2, 1.2),
        pattern=stripes,
        sharpness=30,
        marks=(Mark(spots(22, 0, 1), 0.8, 0.6), Mark(pole(0.08), "#8f8047"), Mark(pole(0.2), bump=-0.05)),
        cut=Fruit(
            (("#d2262b", "#ee4147"), ("#dc423e", "#f6605a"), ("#e3b534", "#fbd25a")),
            wide=1.0,
            pattern=flesh,
            arrange=wedge,
            marks=(Mark(pips(30, 0.62, 0.08, 0.29, 0.06), "#16110d"), Mark(beyond(0.84, 0.89), "#eeb"), Mark(beyond(0.93, 0.955), "#264")),
        ),
        cut_chance=0.5,
    ),
}
KINDS: tuple[str, ...] = tuple(FRUIT)
