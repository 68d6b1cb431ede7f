"""The reference of commands and settings as Markdown, generated from the program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

HEADINGS = {
    "en": {"setting": "setting", "type": "type", "default": "default", "other": "other presets", "meaning": "meaning"},
    "zh": {"setting": "设置", "type": "类型", "default": "默认", "other": "其他方案", "meaning": "含义"},
}
GROUPS = {
    "network": ("Network", "网络"),
    "data": ("Data", "数据"),
    "input": ("Input", "输入"),
    "augmentation": ("Augmentation", "数据增强"),
    "mix": ("Photos and pictures without fruit", "照片与没有水果的图片"),
    "length": ("Length and amount", "训练时长与图片数量"),
    "optimizer": ("Optimizer", "优化器"),
    "loss": ("Loss", "损失函数"),
    "final": ("After the last epoch", "最后一轮之后"),
    "machine": ("Machine", "机器"),
}
COMMAND_WORDS = {"en": ("option", "meaning", "default"), "zh": ("选项", "含义", "默认")}
REQUIRED = {"en": "required", "zh": "必填"}
TYPES: dict[type, tuple[str, str]] = {int: ("integer", "整数"), float: ("number", "数值"), str: ("text", "文本")}
BOUNDS = {
    "ge": ("from {}", "≥ {}"),
    "gt": ("above {}", "> {}"),
    "le": ("to {}", "≤ {}"),
    "lt": ("below {}", "< {}"),
    "multiple_of": ("a multiple of {}", "{} 的倍数"),
}


def commands(language: str = "en") -> str:
    """Every command with its arguments and options, from typer's description."""
    import typer

    from fruitvision import cli

    return "\n".join(line for name, command in _every(typer.main.get_command(cli.app), "") for line in _command(name, command, language))


def _every(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, one in inner.items():
        yield from _every(one, f"{name} {word}".strip())


def _command(name: str, command: Any, language: str) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"## {name}\n"
    yield f"{(command.help or '').strip()}\n"
    yield f"```\npython -m fruitvision {name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    words = COMMAND_WORDS[language]
    yield f"| {words[0]} | {words[1]} | {words[2]} |\n|---|---|---|"
    for option in command.get_params(context):
        record = option.get_help_record(context) or (option.make_metavar(context), option.help or "")
        said, default = _without_default(record[1], REQUIRED[language])
        yield f"| `{_code(record[0])}` | {_cell(said)} | {_cell(default)} |"
    yield ""


def _without_default(text: str, required: str) -> tuple[str, str]:
    """A help text and the default that it states in brackets: "Size. [default: (64)]" → "Size.", "64"."""
    said, found, rest = text.partition("[")
    default = next((part.removeprefix("default: ") for part in rest.rstrip("]").split("; ") if part.startswith("default: ")), "")
    if default.startswith("(") and default.endswith(")"):
        default = default[1:-1]
    if found and "required" in rest:
        default = required
    return said.strip(), default


def settings(language: str = "en") -> str:
    """Every setting by group: type, default, values in the other presets, and its meaning."""
    from fruitvision.training.config import PRESETS, TrainConfig
    from fruitvision.training.settings import GROUPS as MEMBERS
    from fruitvision.wording.text import setting

    words, lines = HEADINGS[language], []
    for group, names in MEMBERS.items():
        lines.append(f"## {GROUPS[group][language == 'zh']}\n")
        lines.append("| " + " | ".join(words.values()) + " |\n" + "|---" * len(words) + "|")
        for name in names:
            field = TrainConfig.model_fields[name]
            changed = {preset: values[name] for preset, values in PRESETS.items() if values.get(name, field.default) != field.default}
            others = ", ".join(f"{preset}: {_value(value)}" for preset, value in changed.items())
            title, meaning = setting(name, language)
            stop = "。" if language == "zh" else "."
            cells = (f"`{name}`", _type(field, language), _value(field.default), others, f"**{title}{stop}** {meaning}")
            lines.append("| " + " | ".join(map(_cell, cells)) + " |")
        lines.append("")
    return "\n".join(lines)


def _type(field: Any, language: str) -> str:
    """A field's type and bounds in words: "integer, 32 to 512, a multiple of 8"."""
    if choices := getattr(field.annotation, "__args__", None):
        return ", ".join(f"`{choice}`" for choice in choices)
    if field.annotation is bool:
        return "`true`, `false`"
    words = [TYPES[field.annotation][language == "zh"]]
    bounds = {name: value for one in field.metadata for name in BOUNDS if (value := getattr(one, name, None)) is not None}
    words += [BOUNDS[name][language == "zh"].format(value) for name, value in bounds.items()]
    return ("，" if language == "zh" else ", ").join(words)


def _value(value: Any) -> str:
    """A value as written after ``--set NAME=``; empty if it has none."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    """Escape text for a table cell; in backquoted code "<" is not escaped."""
    parts = _code(text).split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


def _code(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
