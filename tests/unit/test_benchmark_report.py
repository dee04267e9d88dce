"""What bench/peers.py makes of its samples: medians, ratios of one round, a page and plots."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
from peer_systems.clients.protocol import IN_FLIGHT, batches, keep_in_flight
from peer_systems.report.figures import GROUPS
from peer_systems.report.page import Run, cell, number, render_page
from peer_systems.report.plots import render_plot
from peer_systems.report.samples import Sample, Samples, Spread, spread_of

SAMPLES = Samples(
    [
        Sample(1, "zreg", "push", {"push_2_p50_ms": 4.0}),
        Sample(1, "redis", "push", {"push_2_p50_ms": 1.0}),
        Sample(2, "zreg", "push", {"push_2_p50_ms": 9.0}),
        Sample(2, "redis", "push", {"push_2_p50_ms": 3.0}),
        Sample(3, "zreg", "push", {"push_2_p50_ms": 5.0}),
    ]
)
RUN = Run("python bench/peers.py", ["2 processors"], 3, ["zreg", "redis"], {"etcd": "no wheel"})
PUSH = next(group for group in GROUPS if group.key == "push")


def test_a_spread_has_the_median_and_the_range() -> None:
    assert spread_of([3.0, 1.0, 9.0]) == Spread(3.0, 1.0, 9.0)
    assert spread_of([]) is None


def test_samples_are_found_by_figure_and_system() -> None:
    assert SAMPLES.spread("push_2_p50_ms", "zreg") == Spread(5.0, 4.0, 9.0)
    assert SAMPLES.spread("push_2_p50_ms", "etcd") is None
    assert SAMPLES.spread("kill_1_ms", "zreg") is None


def test_a_ratio_compares_figures_of_the_same_round_only() -> None:
    assert SAMPLES.ratio("push_2_p50_ms", "zreg", "redis") == Spread(3.5, 3.0, 4.0)
    assert SAMPLES.ratio("push_2_p50_ms", "zreg", "etcd") is None


def test_a_figure_of_nothing_has_no_ratio() -> None:
    samples = Samples(
        [Sample(1, "zreg", "idle", {"x": 1.0}), Sample(1, "redis", "idle", {"x": 0.0})]
    )

    assert samples.ratio("x", "zreg", "redis") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (-0.5, "-0.50")],
)
def test_a_number_has_about_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_cell_shows_the_range_if_there_is_one() -> None:
    assert cell(Spread(2.0, 1.0, 3.0), " x") == "2.00 x (1.00 to 3.00)"
    assert cell(Spread(2.0, 2.0, 2.0)) == "2.00"
    assert len(cell(None)) == 1


def test_the_page_shows_figures_ratios_and_what_each_system_buys() -> None:
    page = render_page(SAMPLES, RUN, ["push"])

    row = next(line for line in page.splitlines() if "2 processes, p50" in line)
    assert row == (
        "| 10 subscribers in 2 processes, p50, ms | 5.00 (4.00 to 9.00) | 2.00 (1.00 to 3.00) | "
        "3.50 x (3.00 to 4.00) |"
    )
    assert "    python bench/peers.py\n" in page
    assert "Not measured: etcd: no wheel" in page
    assert "| Redis | redis-py" in page
    assert "ZooKeeper |" not in page
    assert "## Memory" not in page
    assert page.endswith("![Push](benchmarks/push.svg)\n")


def test_the_page_tells_which_measurements_failed() -> None:
    missing = [Sample(number, "zreg", "memory", {"publisher_bytes": 1.0}) for number in (1, 3)]

    page = render_page(Samples(missing), RUN._replace(systems=["zreg"]), ["memory"])

    assert "\nzreg: 2 of 3 rounds; the rest failed.\n" in page


def test_a_page_without_zreg_has_no_ratios() -> None:
    page = render_page(SAMPLES, RUN._replace(systems=["redis"]), ["push"])

    assert "zreg / " not in page


def test_a_plot_has_a_bar_for_each_system_that_was_measured() -> None:
    svg = ET.fromstring(render_plot(PUSH, SAMPLES, ["zreg", "redis", "etcd"]))  # noqa: S314 -- ours
    names = {"s": "http://www.w3.org/2000/svg"}

    bars = svg.findall(".//s:rect", names)
    assert [bar.get("width") for bar in bars] == ["266.7", "106.7"]
    texts = [text.text for text in svg.findall(".//s:text", names)]
    assert texts.count("etcd") == len(PUSH.plotted)
    assert "10 subscribers in 2 processes, p50, ms (less is better)" in texts


def test_each_figure_is_in_one_group_and_each_plotted_one_exists() -> None:
    keys = [figure.key for group in GROUPS for figure in group.figures]

    assert len(keys) == len(set(keys))
    for group in GROUPS:
        assert set(group.plotted) <= {figure.key for figure in group.figures}


def test_a_window_of_requests_is_kept_and_all_are_waited_for() -> None:
    started: list[int] = []
    waited: list[tuple[int, int]] = []

    def requests() -> Iterator[int]:
        for request in range(IN_FLIGHT + 2):
            started.append(request)
            yield request

    count = keep_in_flight(requests(), lambda request: waited.append((request, len(started))))

    assert count == IN_FLIGHT + 2
    assert [request for request, _ in waited] == list(range(count))
    assert max(begun - request for request, begun in waited) == IN_FLIGHT


def test_batches_hold_what_is_in_flight() -> None:
    names = [str(number) for number in range(IN_FLIGHT + 1)]

    assert list(batches(names)) == [names[:IN_FLIGHT], names[IN_FLIGHT:]]
    assert list(batches([])) == []
