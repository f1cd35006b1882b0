import matplotlib.pyplot as plt
import pytest

from mnistlib import diagrams
from mnistlib.metrics import Difference

CLEAR = Difference(-0.012, -0.015, -0.009, 0.0006)
# Its interval excludes zero, but p times three comparisons is above 0.05.
BORDER = Difference(0.004, 0.001, 0.007, 0.02)
NONE = Difference(0.0, -0.002, 0.002, 0.98)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_differences_stand_in_a_panel_for_each_baseline():
    panels = diagrams.difference_panels(
        {"R0": {"R2": CLEAR, "R4": NONE}, "no remedy": {"dropout": BORDER}}, title="t"
    )
    assert [ax.get_title() or ax.get_title(loc="left") for ax in panels] == [
        "0 = R0",
        "0 = no remedy",
    ]
    names = [[label.get_text() for label in ax.get_yticklabels()] for ax in panels]
    assert names == [["R2", "R4"], ["dropout"]]
    assert panels[0].get_xlim() == panels[1].get_xlim()
    assert panels[-1].get_xlabel()
    assert panels[0].figure.get_suptitle() == "t"


def test_only_what_passes_bonferronis_rule_is_filled_and_the_legend_says_so():
    panels = diagrams.difference_panels({"R0": {"R2": CLEAR, "R4": NONE}, "no": {"x": BORDER}})
    marks = [
        line
        for ax in panels
        for line in ax.lines
        if line.get_marker() == "o" and len(line.get_xdata())
    ]
    assert [line.get_mfc() == "w" for line in marks] == [False, True, True]
    assert [line.get_xdata()[0] for line in marks] == pytest.approx([-1.2, 0.0, 0.4])
    words = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert words == ["passes Bonferroni's rule", "does not pass"]
