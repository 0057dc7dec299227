import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.report import render, write_report
from evo.report.markup import Markup, element, escape, join
from evo.tables import workload_rows
from populations.outcome import Outcome, Speedup
from tests.evo.samples import BASELINES, SEED, kernel, passed, run_data

quick = settings(max_examples=100, deadline=None, derandomize=True)

HOSTILE = (
    '</script><img src=x onerror=alert(1)></style></title></svg></pre>"\' onload="x()" '
    "<!-- ]]> &lt;b&gt; \x00\x1b[2J \u202eevil javascript:alert(1)"
)
VOID = {"meta"}


class Page(HTMLParser):
    """Reads a report back: tags, attributes, text; fails on tags that do not match."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)

    @property
    def text(self):
        return "".join(self.texts)


def hostile_data():
    failed = kernel(1, outcome=Outcome.REJECTED, operator=HOSTILE, parents=(0,), note=HOSTILE)
    best = kernel(
        2, 1.5, operator=f"{HOSTILE}2", parents=(0,), note=HOSTILE, source=f"{SEED}# {HOSTILE}\n"
    )
    seed = kernel(0, 0.5, note=HOSTILE, source=f'"""{HOSTILE}"""\n')
    baselines = {f"{name}{HOSTILE}": {**BASELINES["fp32_B8"], HOSTILE: 2.0} for name in BASELINES}
    return run_data(
        3,
        experiment=HOSTILE,
        device=HOSTILE,
        reason=HOSTILE,
        kernels=(seed, failed, best),
        improvements=(0, 2),
        champion=2,
        table=workload_rows(baselines, seed.evaluation, best.evaluation),
        baselines=baselines,
        config=HOSTILE,
        facts={HOSTILE: HOSTILE},
        reproduce=HOSTILE,
    )


def test_hostile_text_stays_text():
    clean, hostile = Page(render(run_data(3))), Page(render(hostile_data()))
    allowed = set(Page(render(run_data(40))).tags)
    assert set(hostile.tags) <= allowed
    assert not {"script", "img", "a", "iframe", "link", "form"} & allowed
    assert not [a for a in hostile.attributes if a[1].startswith("on") or a[1] in ("href", "src")]
    known = {name for _, name, _ in clean.attributes + Page(render(run_data(40))).attributes}
    assert {name for _, name, _ in hostile.attributes} <= known
    assert hostile.text.count("</script><img src=x onerror=alert(1)>") > 10
    assert not {"\x00", "\x1b", "\u202e"} & set(hostile.text)


@quick
@given(st.text())
def test_text_reads_back(text):
    page = Page(element("p", text, title=text))
    pairs = list(zip(page.text, text.replace("\r\n", "\n"), strict=True))
    changed = {there for here, there in pairs if here != there}
    assert all(here in (there, "\ufffd") for here, there in pairs)
    assert not [char for char in changed if char.isprintable()]
    assert page.tags == ["p"]
    [(_, _, title)] = page.attributes
    assert title == page.text
    escape(text).encode()  # lone surrogates are gone


def test_join_escapes_what_is_not_markup():
    assert join("<", [Markup("<br>"), None, ["&", 3]]) == "&lt;<br>&amp;3"
    assert element("p", class_="a b", x=1.26, y=-3.0, data_n=None) == (
        '<p class="a b" x="1.3" y="-3"></p>'
    )


@pytest.mark.parametrize("count", [1, 3, 40, 300])
def test_page_is_whole_and_needs_nothing_else(count):
    html = render(run_data(count))
    page = Page(html)
    for tag, name, value in page.attributes:
        assert "//" not in (value or ""), (tag, name, value)
    assert "url(" not in html
    assert "@import" not in html
    policy = next(v for t, n, v in page.attributes if t == "meta" and n == "content")
    assert policy.startswith("default-src 'none'")
    for svg in html.split("<svg")[1:]:
        ET.fromstring(f"<svg{svg.split('</svg>')[0]}</svg>")


def test_the_same_data_give_the_same_file(tmp_path):
    code = (
        "from pathlib import Path; import sys; from evo.report import write_report;"
        "from tests.evo.samples import run_data; write_report(run_data(300), Path(sys.argv[1]))"
    )
    files = [tmp_path / "a.html", tmp_path / "b.html"]
    for hash_seed, file in enumerate(files):
        subprocess.run(
            [sys.executable, "-c", code, str(file)],
            check=True,
            env={"PYTHONHASHSEED": str(hash_seed)},
        )
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(run_data(3), path)
    assert path.read_text(encoding="utf-8") == render(run_data(3))
    assert list(tmp_path.iterdir()) == [path]


def test_headline_and_tables():
    data = run_data(40, speedup=Speedup(1.42, 1.38, 1.46))
    text = Page(render(data)).text
    for part in (
        "1.42x",
        "[1.38, 1.46], 95% interval",
        "Geometric mean over 2 workloads, each against its fastest baseline (conv2d).",
        f"#{data.champion}, by ",
        "cpu (some processor, 2 threads)",
        "40 evaluations",
        "6:52",
        "max-autotune",
        "plain loops",
        "-#define TILE 32  // tune: 16, 32, 64",
        "evaluations = 40",
        "2.13.0",
        "python -m evo.run experiments/conv1d.toml",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("speedup", "words"),
    [
        (Speedup(1.1, 0.98, 1.2), "does not exclude that it is no faster"),
        (Speedup(0.5, 0.4, 0.6), "It is slower."),
    ],
)
def test_headline_claims_no_more_than_was_measured(speedup, words):
    assert words in Page(render(run_data(5, speedup=speedup))).text


def test_no_kernel_passed():
    kernels = tuple(kernel(n, outcome=Outcome.COMPILE_ERROR) for n in range(3))
    table = workload_rows(BASELINES, None, None)
    data = run_data(3, kernels=kernels, improvements=(), champion=None, table=table)
    text = Page(render(data)).text
    assert "No kernel passed" in text
    assert "There is no champion." in text


def test_nothing_was_judged():
    data = run_data(3, kernels=(), improvements=(), champion=None, table=())
    assert "No kernel was judged." in Page(render(data)).text


def test_champion_is_the_seed():
    seed = kernel(0, 0.5)
    data = run_data(3, kernels=(seed,), improvements=(0,), champion=0)
    assert "The champion is the seed itself." in Page(render(data)).text


def test_seed_that_failed_beside_one_that_passed():
    kernels = (kernel(0), kernel(1, 0.9), kernel(2, 1.2, operator="tune", parents=(1,)))
    data = run_data(3, kernels=kernels, improvements=(1, 2), champion=2)
    assert [k.number for k in data.path] == [1, 2]
    Page(render(data))


def test_descent_names_both_parents_of_a_crossover():
    kernels = (
        kernel(0, 0.5),
        kernel(1, 0.6, operator="tune", parents=(0,)),
        kernel(2, 0.9, operator="merge", parents=(0, 1), note="both"),
    )
    data = run_data(3, kernels=kernels, improvements=(0, 1, 2), champion=2)
    text = Page(render(data)).text
    assert "both (with #1)" in text
    assert "1.80x" in text  # the gain over kernel 0


def test_operators_are_counted():
    kernels = (
        kernel(0, 0.5),
        kernel(1, 1.0, operator="tune", parents=(0,)),
        kernel(2, 0.5, operator="tune", parents=(1,)),
        kernel(3, outcome=Outcome.TIMEOUT, operator="tune", parents=(1,)),
    )
    html = render(run_data(4, kernels=kernels, improvements=(0, 1), champion=1))
    row = html.split('<td class="text">tune</td>')[-1].split("</tr>")[0]
    cells = Page(row).texts
    # kernels, passed, timeout, champions, best, median gain of 2x and 0.5x
    assert cells == ["3", "2", "1", "1", "1.00x", "1.00x"]


@pytest.mark.parametrize("changes", [{"champion": 99}, {"improvements": (0, 99)}])
def test_numbers_must_be_of_kernels_that_passed(changes):
    with pytest.raises(ValueError, match="#99"):
        run_data(3, **changes)


def test_failed_champion_is_refused():
    kernels = (kernel(0, 0.5), kernel(1))
    with pytest.raises(ValueError, match="#1"):
        run_data(2, kernels=kernels, improvements=(0,), champion=1)
    assert passed(1.0).passed
