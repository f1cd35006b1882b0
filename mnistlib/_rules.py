"""What a value in a configuration must be: small rules, put together to larger ones.

A rule is a function of a value and of the place where it stands; it returns nothing, or raises
``Refused`` with a sentence that names the place.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence

LARGEST_TEXT = 200
"""Characters of one name."""

NAMING = {"class_name", "module", "registered_name", "spec_name"}
"""Keys by which Keras finds a class or function."""

Rule = Callable[[object, str], None]


_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxdict, _SHORT.maxlevel = 150, 3, 3


class Refused(ValueError):
    """Says what in a model file is refused; whoever opened the file adds its name."""


def show(value: object) -> str:
    """Show the beginning of a value, whatever it is, in one short line; names show in full."""
    return _SHORT.repr(value)


def must(where: str, wanted: str, value: object) -> Refused:
    return Refused(f"{where} must be {wanted}; received {show(value)}")


def text(value: object, where: str) -> None:
    """A name, for people and for Keras."""
    if not (isinstance(value, str) and len(value) <= LARGEST_TEXT and value.isprintable()):
        raise must(where, f"a name of up to {LARGEST_TEXT} characters", value)


def flag(value: object, where: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise must(where, "true or false", value)


def number(value: object, where: str) -> None:
    """A number that float32 can hold."""
    if isinstance(value, bool) or not (isinstance(value, int | float) and abs(value) < 3e38):
        raise must(where, "a finite number", value)


def nothing(value: object, where: str) -> None:
    """Nothing, as Keras writes for a setting that was not made."""
    if value is not None and value is not False:
        raise Refused(f"{where} is not on the list; received {show(value)}")


def whole(low: int, high: int) -> Rule:
    """A whole number from ``low`` to ``high``."""

    def rule(value: object, where: str) -> None:
        if isinstance(value, bool) or not (isinstance(value, int) and low <= value <= high):
            raise must(where, f"a whole number from {low:,} to {high:,}", value)

    return rule


def optional(rule: Rule) -> Rule:
    """What ``rule`` says, or null."""
    return lambda value, where: None if value is None else rule(value, where)


def one_of(*names: object) -> Rule:
    """One of these names."""

    def rule(value: object, where: str) -> None:
        if not (isinstance(value, str | bool) and value in names):
            raise Refused(
                f"{where} is {show(value)}, which is not on the list ({', '.join(map(str, names))})"
            )

    return rule


def items(rule: Rule, low: int = 0, high: int = 100) -> Rule:
    """A list of ``low`` to ``high`` items, each as ``rule`` says."""

    def check(value: object, where: str) -> None:
        if not (isinstance(value, list) and low <= len(value) <= high):
            raise must(where, f"a list of {low} to {high} items", value)
        for i, item in enumerate(value):
            rule(item, f"{where}[{i}]")

    return check


def either(single: Rule, several: Rule) -> Rule:
    """What ``several`` says of a list, what ``single`` says of everything else."""
    return lambda value, where: (several if isinstance(value, list) else single)(value, where)


def by_output(rule: Rule) -> Rule:
    """One for a model, or a list or mapping with one or several for each output."""

    def check(value: object, where: str, depth: int = 0) -> None:
        if isinstance(value, dict) and NAMING.isdisjoint(value) and depth < 2:
            text_keys(value, where)
            for key, item in value.items():
                check(item, f"{where}.{key}", depth + 1)
        elif isinstance(value, list) and depth < 2:
            items(lambda item, place: check(item, place, depth + 1))(value, where)
        elif value is not None:
            rule(value, where)

    return check


def text_keys(value: dict, where: str) -> None:
    """A mapping of at most a hundred names."""
    if len(value) > 100:
        raise must(where, "a mapping of at most 100 names", value)
    for key in value:
        text(key, f"a name in {where}")


def settings(rules: Mapping[str, Rule], required: Sequence[str] = ()) -> Rule:
    """A mapping from names to values, each as its own rule says; null where there is no rule."""

    def check(value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise must(where, "a mapping", value)
        for name in required:
            if name not in value:
                raise Refused(f"{where} lacks {name}")
        for key, setting in value.items():
            rules.get(key, nothing)(setting, f"{where}.{key[:LARGEST_TEXT]}")

    return check


def serialized(kinds: Mapping[tuple[str, str], Rule], names: Sequence[str] = ()) -> Rule:
    """An object as Keras writes it, of one of these kinds; or one of these names alone."""

    def check(value: object, where: str) -> None:
        if names and isinstance(value, str):
            return one_of(*names)(value, where)
        if not isinstance(value, dict):
            raise must(where, "an object as Keras writes it", value)
        kind = (value.get("module"), value.get("class_name"))
        if kind not in kinds:
            raise Refused(f"{where} names {kind[0]}.{kind[1]}, which is not on the list there")
        unknown = value.keys() - _KEYS_OF_OBJECTS
        for key in unknown:
            nothing(value[key], f"{where}.{key[:LARGEST_TEXT]}")
        return kinds[kind](value.get("config"), f"{where} ({kind[1]})")

    return check


_KEYS_OF_OBJECTS = {"module", "class_name", "config", "registered_name", "shared_object_id"}
