"""From a class of Fruits-360 to its kind of fruit, and both in Chinese.

Fruits-360 names a class by its fruit, its variety and a number, in spellings that changed over the releases:
"Apple Golden 1", "apple_golden_1", "Cactus fruit green 1". The fruit is the longest run of leading words that
is known, by its own name or by one of the other names below; a name that begins with no known fruit is its
own kind, without its number.
"""

from __future__ import annotations

import re
from functools import cache

#: The 65 kinds of fruit, vegetable and nut of the 2020 release (131 classes), in Chinese.
_TYPES = {
    "Apple": "苹果",
    "Apricot": "杏",
    "Avocado": "牛油果",
    "Banana": "香蕉",
    "Beetroot": "甜菜根",
    "Blueberry": "蓝莓",
    "Cactus fruit": "仙人掌果",
    "Carambula": "杨桃",
    "Cauliflower": "花椰菜",
    "Cherry": "樱桃",
    "Chestnut": "栗子",
    "Cocos": "椰子",
    "Corn": "玉米",
    "Cucumber": "黄瓜",
    "Dates": "椰枣",
    "Eggplant": "茄子",
    "Fig": "无花果",
    "Ginger": "生姜",
    "Granadilla": "甜百香果",
    "Grape": "葡萄",
    "Grapefruit": "葡萄柚",
    "Guava": "番石榴",
    "Hazelnut": "榛子",
    "Huckleberry": "越橘",
    "Kaki": "柿子",
    "Kiwi": "猕猴桃",
    "Kohlrabi": "苤蓝",
    "Kumquats": "金桔",
    "Lemon": "柠檬",
    "Lime": "青柠",
    "Lychee": "荔枝",
    "Mandarine": "橘子",
    "Mango": "芒果",
    "Mangostan": "山竹",
    "Melon": "甜瓜",
    "Mulberry": "桑葚",
    "Nectarine": "油桃",
    "Nut": "坚果",
    "Onion": "洋葱",
    "Orange": "橙子",
    "Papaya": "木瓜",
    "Passion Fruit": "百香果",
    "Peach": "桃子",
    "Pear": "梨",
    "Pepino": "人参果",
    "Pepper": "甜椒",
    "Physalis": "灯笼果",
    "Pineapple": "菠萝",
    "Pitahaya": "火龙果",
    "Plum": "李子",
    "Pomegranate": "石榴",
    "Pomelo": "柚子",
    "Potato": "土豆",
    "Quince": "榅桲",
    "Rambutan": "红毛丹",
    "Raspberry": "树莓",
    "Redcurrant": "红醋栗",
    "Salak": "蛇皮果",
    "Strawberry": "草莓",
    "Sweet Potato": "红薯",
    "Tamarillo": "树番茄",
    "Tangelo": "橘柚",
    "Tomato": "番茄",
    "Walnut": "核桃",
    "Watermelon": "西瓜",
}

FRUIT_TYPES: tuple[str, ...] = tuple(_TYPES)

#: The longest side of one, as it is sold, in centimetres: typical, rounded.
_SPANS = {
    "Apple": 8,
    "Apricot": 4.5,
    "Avocado": 11,
    "Banana": 18,
    "Beetroot": 8,
    "Blueberry": 1.3,
    "Cactus fruit": 8,
    "Carambula": 11,
    "Cauliflower": 17,
    "Cherry": 2.3,
    "Chestnut": 3.5,
    "Cocos": 12,
    "Corn": 20,
    "Cucumber": 20,
    "Dates": 4,
    "Eggplant": 18,
    "Fig": 5,
    "Ginger": 10,
    "Granadilla": 8,
    "Grape": 2,
    "Grapefruit": 11,
    "Guava": 8,
    "Hazelnut": 2,
    "Huckleberry": 1,
    "Kaki": 7.5,
    "Kiwi": 7,
    "Kohlrabi": 9,
    "Kumquats": 3.5,
    "Lemon": 8,
    "Lime": 6,
    "Lychee": 3.5,
    "Mandarine": 6,
    "Mango": 12,
    "Mangostan": 6,
    "Melon": 16,
    "Mulberry": 3,
    "Nectarine": 7,
    "Nut": 4,
    "Onion": 7.5,
    "Orange": 8,
    "Papaya": 16,
    "Passion Fruit": 6.5,
    "Peach": 7,
    "Pear": 10,
    "Pepino": 11,
    "Pepper": 11,
    "Physalis": 3,
    "Pineapple": 25,
    "Pitahaya": 12,
    "Plum": 5,
    "Pomegranate": 9,
    "Pomelo": 15,
    "Potato": 9,
    "Quince": 9,
    "Rambutan": 5,
    "Raspberry": 2,
    "Redcurrant": 3,
    "Salak": 7,
    "Strawberry": 4,
    "Sweet Potato": 15,
    "Tamarillo": 7,
    "Tangelo": 8,
    "Tomato": 6,
    "Walnut": 4.5,
    "Watermelon": 25,
    "Almond": 2.5,
    "Beans": 13,
    "Blackberry": 2.5,
    "Cabbage": 18,
    "Carrot": 17,
    "Cashew": 2.5,
    "Cherimoya": 11,
    "Gooseberry": 2,
    "Peanut": 3.5,
    "Pistachio": 1.8,
    "Zucchini": 20,
    "Artichoke": 10,
    "Asparagus": 20,
    "Broccoli": 14,
    "Celery": 25,
    "Chilli": 9,
    "Cranberry": 1.5,
    "Durian": 22,
    "Fennel": 14,
    "Garlic": 5,
    "Jackfruit": 25,
    "Kale": 25,
    "Leek": 25,
    "Lettuce": 18,
    "Lingonberry": 1,
    "Mushroom": 5,
    "Okra": 9,
    "Peas": 7,
    "Pumpkin": 22,
    "Radish": 4,
    "Spinach": 15,
    "Tamarind": 12,
    "Turnip": 8,
}

#: What later releases added, and kinds that are known from photographs alone.
_LATER_TYPES = {
    "Almond": "杏仁",
    "Artichoke": "洋蓟",
    "Asparagus": "芦笋",
    "Beans": "豆角",
    "Blackberry": "黑莓",
    "Broccoli": "西兰花",
    "Cabbage": "卷心菜",
    "Carrot": "胡萝卜",
    "Cashew": "腰果",
    "Celery": "芹菜",
    "Cherimoya": "番荔枝",
    "Chilli": "辣椒",
    "Cranberry": "蔓越莓",
    "Durian": "榴莲",
    "Fennel": "球茎茴香",
    "Garlic": "大蒜",
    "Gooseberry": "醋栗",
    "Jackfruit": "菠萝蜜",
    "Kale": "羽衣甘蓝",
    "Leek": "韭葱",
    "Lettuce": "生菜",
    "Lingonberry": "红豆越橘",
    "Mushroom": "蘑菇",
    "Okra": "秋葵",
    "Peanut": "花生",
    "Peas": "豌豆",
    "Pistachio": "开心果",
    "Pumpkin": "南瓜",
    "Radish": "樱桃萝卜",
    "Spinach": "菠菜",
    "Tamarind": "酸角",
    "Turnip": "芜菁",
    "Zucchini": "西葫芦",
}

#: Classes that do not begin with their kind's name.
_OTHER_NAMES = {
    "Almonds": "Almond",
    "Blackberrie": "Blackberry",
    "Caju seed": "Cashew",
    "Cantaloupe": "Melon",
    "Carambola": "Carambula",
    "Clementine": "Mandarine",
    "Custard Apple": "Cherimoya",
    "Limes": "Lime",
    "Maracuja": "Passion Fruit",
    "Potato Sweet": "Sweet Potato",
}

#: Classes whose Chinese name is their own rather than their kind's with the variety behind it.
_OWN_NAMES = {
    "Cantaloupe": "网纹甜瓜",
    "Clementine": "克莱门氏小柑橘",
    "Ginger Root": "生姜",
    "Maracuja": "百香果（黄色）",
    "Nut Pecan": "碧根果",
    "Peach Flat": "蟠桃",
    "Nectarine Flat": "油蟠桃",
}

#: Varieties, as they stand behind a kind's name; what is not here stays as it is written.
_VARIETIES = {
    "Abate": "阿巴特",
    "Black": "黑色",
    "Blue": "蓝紫色",
    "Braeburn": "布瑞本",
    "Cherry Maroon": "樱桃番茄，褐红色",
    "Cherry Orange": "樱桃番茄，橙色",
    "Cherry Red": "樱桃番茄，红色",
    "Cherry Yellow": "樱桃番茄，黄色",
    "Common": "普通",
    "Core": "果核",
    "Crimson Snow": "绯雪",
    "Dark": "深色",
    "Flat": "扁形",
    "Forelle": "福瑞尔",
    "Forest": "林地坚果",
    "Golden": "金冠",
    "Granny Smith": "澳洲青苹",
    "Green": "绿色",
    "Half rippen": "半熟",
    "Heart": "牛心",
    "Hit": "碰伤",
    "Husk": "带苞叶",
    "Kaiser": "凯撒",
    "Lady Finger": "手指蕉",
    "Long": "长形",
    "Maroon": "褐红色",
    "Meyer": "梅尔",
    "Mini": "迷你",
    "Monster": "巨型",
    "Not ripen": "未成熟",
    "Not ripened": "未成熟",
    "Not rippen": "未成熟",
    "Orange": "橙色",
    "Peeled": "去皮",
    "Piel de Sapo": "蛙皮瓜",
    "Pink": "粉红色",
    "Pink Lady": "粉红女士",
    "Rainier": "雷尼尔",
    "Red": "红色",
    "Red Delicios": "蛇果",
    "Red Delicious": "蛇果",
    "Red Peeled": "红色，去皮",
    "Red Washed": "红皮，洗净",
    "Red Yellow": "红黄色",
    "Ripe": "成熟",
    "Rotten": "腐烂",
    "Sour": "酸樱桃",
    "Stone": "石梨",
    "Sweetie": "甜心柚",
    "Wax Black": "蜡樱桃，黑色",
    "Wax Red": "蜡樱桃，红色",
    "Wax Yellow": "蜡樱桃，黄色",
    "Wax not ripen": "蜡樱桃，未成熟",
    "Wax not rippen": "蜡樱桃，未成熟",
    "Wedge": "楔形",
    "White": "白色",
    "White Peeled": "白色，去皮",
    "Williams": "威廉姆斯",
    "With Husk": "带宿萼",
    "Worm": "虫蛀",
    "Yellow": "黄色",
}

_NUMBER = re.compile(r"[ _-]+(\d+)$")
_CHINESE = _TYPES | _LATER_TYPES
_KNOWN = {name.casefold(): name for name in _CHINESE} | {n.casefold(): t for n, t in _OTHER_NAMES.items()}
_OWN = {name.casefold(): chinese for name, chinese in _OWN_NAMES.items()}
_VARIETY = {name.casefold(): chinese for name, chinese in _VARIETIES.items()}


@cache
def fruit_type(class_name: str) -> str:
    """The kind of fruit that a class belongs to: "Apple Braeburn" is an "Apple", "Limes" are a "Lime"."""
    known, _, _ = _take_apart(class_name)
    return known or _NUMBER.sub("", class_name.strip()) or class_name


def is_known_kind(name: str) -> bool:
    """Whether a folder's name begins with a kind that is listed here, by its own name or another."""
    return _take_apart(name)[0] is not None


def span(name: str) -> float:
    """The longest side of a kind or class, in centimetres, typically; that of an apple where it is not known."""
    return _SPANS.get(fruit_type(name), _SPANS["Apple"])


@cache
def chinese_name(name: str) -> str | None:
    """A kind's or class's Chinese name, variety and number in brackets behind it; None where not known."""
    known, variety, number = _take_apart(name)
    if known is None:
        return None
    words = _words(_NUMBER.sub("", name.strip()))
    own = _OWN.get(" ".join(words).casefold())
    if own is not None:
        return f"{own} {number}".strip()
    if not variety:
        return f"{_CHINESE[known]} {number}".strip()
    behind = f"{_VARIETY.get(variety.casefold(), variety)} {number}".strip()
    return f"{_CHINESE[known]}（{behind}）"


def display_name(name: str, language: str) -> str:
    """A kind or class in ``language`` ("en" or "zh"); a name that is not known is left as it is."""
    return (chinese_name(name) if language == "zh" else None) or name


def _take_apart(name: str) -> tuple[str | None, str, str]:
    """(kind, variety, number) of a class name; the kind is None where none is known."""
    stem = name.strip()
    match = _NUMBER.search(stem)
    words = _words(stem[: match.start()] if match else stem)
    for length in range(len(words), 0, -1):
        known = _KNOWN.get(" ".join(words[:length]).casefold())
        if known is not None:
            return known, " ".join(words[length:]), match[1] if match else ""
    return None, "", ""


def _words(name: str) -> list[str]:
    return name.replace("_", " ").split()
