"""Tables in Markdown: sensibly formatted numbers."""

import numpy as np
import pandas as pd
import pytest

from pivq.figures.tables import facts_table, styled, to_markdown, typeset


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.0363, 0.11], ["0.036", "0.110"]),
        ([23.973, 9.0], ["23.97", "9.00"]),
        ([194.52, 99.96], ["194.5", "100.0"]),
        ([12345.6, 1.0], ["12,346", "1"]),
        ([512.0, 49.0], ["512", "49"]),
        ([0.0, 1e-6], ["0.000", "1e-06"]),
        ([-0.5, np.nan], ["-0.500", "–"]),
        ([1234567, 2], ["1,234,567", "2"]),
        ([True, False], ["yes", "no"]),
        ([None, "a|b\nc"], ["–", "a\\|b c"]),
        ([1, 2.5, "x"], ["1", "2.500", "x"]),
        ([pd.NA, 3], ["–", "3"]),
    ],
)
def test_numbers_are_formatted_by_the_column(values, texts):
    table = to_markdown(pd.DataFrame({"v": pd.Series(values)}))
    assert table.splitlines()[2:] == [f"| {text} |" for text in texts]


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame([[1, 2]], columns=["a", "a"])])
def test_table_without_telling_columns_is_refused(frame):
    with pytest.raises(ValueError, match="columns"):
        to_markdown(frame)


def test_facts_become_rows_of_two_columns():
    facts = {"image_size": 64, "steps": 3400, "runs": {"learned, matching": "a<b"}, "ids": [1, 2], "whole": True}
    table = facts_table(facts)
    assert table.data.values.tolist() == [["image size", "64"], ["steps", "3,400"], ["runs", "learned, matching a<b"],
                                          ["ids", "1, 2"], ["whole", "True"]]  # fmt: skip
    assert "a&lt;b" in table.to_html()


def test_symbols_are_typeset_in_headings_and_texts():
    frame = pd.DataFrame({"K_img": [1.25], "of": ["T_q < K_data"], "both": ["1.5"]}, index=["z_e"])
    html = styled(frame, index=True, precision=1).to_html()
    for shown in ("<i>K</i><sub>img</sub>", "<i>T</i><sub><i>q</i></sub> &lt; <i>K</i><sub>data</sub>", "1.2<"):
        assert shown in html
    assert "<i>z</i><sub><i>e</i></sub>" in html and "_q" not in html
    assert "<i>T</i>" not in styled(frame, {"of": str.upper}).to_html(), "a format of one's own is kept"
    assert typeset("my_K_img, K_img_2 and a T_quantity") == "my_K_img, K_img_2 and a T_quantity"
    assert typeset(to_markdown(frame[["of"]]), markdown=True).splitlines()[2] == (
        r"| $T_q$ &lt; $K_\text{data}$ |"
    )
