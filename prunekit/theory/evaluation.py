"""One bound in all its forms side by side, with the warnings each gave."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import attrs

from prunekit.errors import SpecError
from prunekit.reports.columns import columns
from prunekit.theory.domain import VacuousBound
from prunekit.theory.signatures import form_of


@attrs.frozen
class Evaluated:
    """Form -> value, and for the forms that say nothing why; `value` where there is one form."""

    values: Mapping[str, Any]
    vacuous: Mapping[str, Sequence[str]]
    refused: Mapping[str, str]


def evaluate(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Evaluated:
    """Call `function` once, or once for each form if it has some and none is chosen.

    SpecError if every form refuses the arguments; the others are in `refused`.
    """
    chooser = form_of(function)
    if chooser is None:
        calls: dict[str, dict[str, Any]] = {"value": {}}
    elif chooser[0] in arguments:
        calls = {arguments[chooser[0]]: {}}
    else:
        calls = {form: {chooser[0]: form} for form in chooser[1]}
    values, vacuous, refused = {}, {}, {}
    for form, choice in calls.items():
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", VacuousBound)
                values[form] = plain(function(**arguments, **choice))
        except SpecError as error:
            refused[form] = str(error)
            continue
        if caught:
            vacuous[form] = [str(warning.message) for warning in caught]
    if not values:
        raise SpecError(next(iter(refused.values())))
    return Evaluated(values, vacuous, refused)


def plain(value: Any) -> Any:
    """Arrays as lists: what JSON can say."""
    return value.tolist() if hasattr(value, "tolist") else value


def shown(evaluated: Evaluated) -> str:
    """A table with a column for each form, then what is vacuous or refused."""
    rows: dict[str, dict[str, Any]] = {}
    for form, value in evaluated.values.items():
        for key, item in (value if isinstance(value, dict) else {"": value}).items():
            rows.setdefault(key, {})[form] = item
    forms = list(evaluated.values)
    head = [] if forms == ["value"] else [("", *forms)]
    body = [(key, *(spelled(row.get(form)) for form in forms)) for key, row in rows.items()]
    cells = [row if any(rows) else row[1:] for row in [*head, *body]]
    lines = [columns(cells)]
    for form, messages in evaluated.vacuous.items():
        lines += [f"vacuous{named(form)}: {message}" for message in messages]
    for form, message in evaluated.refused.items():
        lines.append(f"not defined{named(form)}: {message}")
    return "\n".join(lines)


def named(form: str) -> str:
    return "" if form == "value" else f" ({form})"


def spelled(value: Any) -> str:
    """A number as a reader wants it: 6,286,927; 0.000125155; lists in brackets."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{Decimal(value):.6e}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(map(spelled, value))}]"
    return str(value)
