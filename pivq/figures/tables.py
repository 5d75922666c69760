"""Tables, in Markdown with numbers rounded column by column, or for a notebook; users' words are never markup."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from pivq.settings import refusal

SYMBOLS = re.compile(r"\b(C|K|T|z)_(x|img|data|q|c|e)\b")  # as plain text has them: K_img


def to_markdown(frame: pd.DataFrame) -> str:
    """Return a Markdown table. Whole numbers get thousands separators, a column's decimals fit its largest number.

    Missing values become "–", booleans "yes" and "no".

    Raises:
        TypeError: for what is no frame.
        ValueError: for a frame without columns, or with two columns of the same name.

    Example:
        >>> print(to_markdown(pd.DataFrame({"method": ["matching"], "bits": [2220.71]})), end="")
        | method | bits |
        |---|---:|
        | matching | 2,221 |
    """
    _check_frame(frame)
    if not len(frame.columns) or not frame.columns.is_unique:
        raise ValueError(f"a table needs columns with different names, got {list(frame.columns)}")
    columns = [frame[name] for name in frame.columns]
    rule = ["---:" if _is_number(column) else "---" for column in columns]
    rows = [map(escape, map(str, frame.columns)), *zip(*map(format_column, columns), strict=True)]
    header, *body = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([header, f"|{'|'.join(rule)}|", *body]) + "\n"


def escape(text: str) -> str:
    """Return text for Markdown that is shown as it is, in one line, with all that it may hold: `<`, `$`, `*`, `|`, …

    Example:
        >>> escape("an <b> of Ba$$in, T_q")
        'an &lt;b&gt; of Ba\\\\$\\\\$in, T_q'
    """
    if not isinstance(text, str):
        raise refusal("text", "a text", text)
    text = " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*$|\[\]~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)  # a _ within a word is none


def styled(frame: pd.DataFrame, formats: Any = None, index: bool = False, **options: Any) -> Styler:
    """Return a frame for display in a notebook, its text, index and column names escaped, and symbols typeset.

    Args:
        frame: shown without its index unless `index`.
        formats: a format of all cells, or one by column, as `Styler.format` takes them. Columns of texts need none.
        index: show the index.
        **options: more of `Styler.format`, such as `precision`.
    """
    _check_frame(frame)
    if formats is None or isinstance(formats, Mapping):
        texts = [name for name in frame.columns.unique() if _is_text(frame[name])]
        formats = dict.fromkeys(texts, typeset) | dict(formats or {})
    shown = frame.style.format(formats, escape="html", **options).format_index(typeset, escape="html", axis=1)
    return shown.format_index(typeset, escape="html") if index else shown.hide(axis="index")


def typeset(text: Any, markdown: bool = False) -> str:
    """Return text with its symbols, such as K_img, as HTML, or in Markdown as formulas.

    Example:
        >>> typeset("K_img / L"), typeset("at T_q", markdown=True)
        ('<i>K</i><sub>img</sub> / L', 'at $T_q$')
    """

    def symbol(found: re.Match) -> str:
        letter, index = found.groups()
        if markdown:
            named = index if len(index) == 1 else rf"\text{{{index}}}"
            return f"${letter}_{named}$"
        return f"<i>{letter}</i><sub>{index if len(index) > 1 else f'<i>{index}</i>'}</sub>"

    return SYMBOLS.sub(symbol, str(text))


def facts_table(facts: Mapping[str, Any]) -> Styler:
    """Return facts, such as a stamp, as a table of two columns: a fact and its value.

    A value that is a mapping becomes one line, `name value · name value`; underscores in names become spaces.

    Example:
        >>> facts_table({"seed": 0, "versions": {"python": "3.12", "torch": "2.14"}}).data.values.tolist()
        [['seed', '0'], ['versions', 'python 3.12 · torch 2.14']]
    """
    if not isinstance(facts, Mapping):
        raise refusal("facts", "facts by name", facts)
    rows = [[_in_words(name), _fact(value)] for name, value in facts.items()]
    shown = styled(pd.DataFrame(rows, columns=["fact", "value"]))
    return shown.hide(axis="columns").set_properties(**{"text-align": "left"})


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{_in_words(name)} {_fact(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _in_words(name: Any) -> str:
    return str(name).replace("_", " ")


def format_column(column: pd.Series) -> list[str]:
    """Return a column's values as text; the decimals fit its largest number, whole numbers have none.

    Example:
        >>> format_column(pd.Series([0.0363, 0.11, float("nan")]))
        ['0.036', '0.110', '–']
    """
    if not isinstance(column, pd.Series):
        raise TypeError(f"column must be a series, got {type(column).__name__}")
    numbers = [abs(float(v)) for v in column if isinstance(v, float | np.floating) and np.isfinite(v)]
    decimals = 0 if all(number.is_integer() for number in numbers) else _decimals(max(numbers))
    return [_format_cell(value, decimals) for value in column]


def _check_frame(frame: pd.DataFrame) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a data frame, got {type(frame).__name__}")


def _is_text(column: pd.Series | pd.DataFrame) -> bool:
    return isinstance(column, pd.Series) and all(isinstance(value, str) for value in column)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _decimals(largest: float) -> int:
    return 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 1000 else 0


def _format_cell(value: Any, decimals: int) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    if isinstance(value, float | np.floating):
        small = 0 < abs(value) < 10**-decimals  # would be shown as 0
        return f"{value:.2g}" if small else f"{value:,.{decimals}f}"
    return escape(str(value))
