"""The reference of commands and of settings as Markdown, from the program itself."""

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
    "loss": ("Loss", "损失"),
    "final": ("After the last epoch", "最后一轮之后"),
    "machine": ("Machine", "机器"),
}
COMMAND_WORDS = {"en": ("option", "meaning", "default"), "zh": ("选项", "含义", "默认")}


def commands(language: str = "en") -> str:
    """Every command with its arguments and options, from typer's own description of them."""
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
    rows = [record for option in command.get_params(context) if (record := option.get_help_record(context)) or _argument(option)]
    words = COMMAND_WORDS[language]
    yield f"| {words[0]} | {words[1]} | {words[2]} |\n|---|---|---|"
    for option in command.get_params(context):
        record = option.get_help_record(context) or (option.make_metavar(context), option.help or "")
        said, default = _without_default(record[1])
        yield f"| `{_cell(record[0])}` | {_cell(said)} | {_cell(default)} |"
    assert rows, name
    yield ""


def _argument(option: Any) -> bool:
    return option.param_type_name == "argument"


def _without_default(text: str) -> tuple[str, str]:
    """A help's sentence and what it says in brackets of the default: "Size. [default: (64)]" → "Size.", "64"."""
    said, found, rest = text.partition("[")
    default = next((part.removeprefix("default: ") for part in rest.rstrip("]").split("; ") if part.startswith("default: ")), "")
    if default.startswith("(") and default.endswith(")"):
        default = default[1:-1]
    if found and "required" in rest:
        default = "–"
    return said.strip(), default


def settings(language: str = "en") -> str:
    """Every setting by its group: type, default, what the other presets have, and its meaning in one sentence."""
    from fruitvision.training.config import PRESETS, TrainConfig
    from fruitvision.training.settings import GROUPS as MEMBERS
    from fruitvision.wording.text import setting

    words, lines = HEADINGS[language], []
    for group, names in MEMBERS.items():
        lines.append(f"## {GROUPS[group][language == 'zh']}\n")
        lines.append(f"| {words['setting']} | {words['type']} | {words['default']} | {words['other']} | {words['meaning']} |\n|---|---|---|---|---|")
        for name in names:
            field = TrainConfig.model_fields[name]
            others = ", ".join(f"{preset}: `{changed[name]}`" for preset, changed in PRESETS.items() if name in changed)
            title, meaning = setting(name, language)
            default = f"`{field.default}`" if field.default != "" else ""
            lines.append(f"| `{name}` | {_cell(_type(field))} | {default} | {others} | **{title}.** {_cell(meaning)} |")
        lines.append("")
    return "\n".join(lines)


def _type(field: Any) -> str:
    """A field's type as people read it: "0 to 1", "one of a, b", "text"."""
    choices = getattr(field.annotation, "__args__", None)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = {int: "int", float: "float", bool: "`true`, `false`", str: "str"}[field.annotation]
    bounds = {name: getattr(one, name) for one in field.metadata for name in ("ge", "gt", "le", "lt", "multiple_of") if hasattr(one, name)}
    words = [f"{sign} {bounds[name]}" for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")) if bounds.get(name) is not None]
    words += [f"× {bounds['multiple_of']}"] if bounds.get("multiple_of") is not None else []
    return " ".join([kind, ", ".join(words)]).strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") if "`" not in text else " ".join(text.split()).replace("|", "\\|")
