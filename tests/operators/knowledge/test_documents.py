"""Front matter is read strictly, and the own documents keep to their own rules."""

import pytest

from operators.knowledge.documents import OWN, Document, parse, read_directory
from operators.knowledge.targets import fits, hardware_of
from populations.errors import ConfigError

LANGUAGES = {"triton", "cuda", "cpp", "hip"}
HARDWARE = {"gpu", "cpu", "nvidia", "amd", "hopper", "blackwell", "ampere", "ada", "x86", "other"}
HARDWARE |= {"cdna3", "cdna4"}
GOOD = (
    "---\ntitle: A page\nhardware: gpu, cpu\ntopic: guidance\nsources: One; Two, too\n---\nText.\n"
)


@pytest.fixture(scope="module")
def own() -> list[Document]:
    return read_directory(OWN)


def test_own_documents_cover_what_a_run_meets(own):
    assert 40 <= len(own) <= 90
    assert {name.split("/")[0] for name in (d.name for d in own)} >= {
        *("constraints", "guidance", "hopper", "blackwell", "cdna3", "x86", "accelerator"),
        *LANGUAGES,
    }
    assert len({d.title for d in own}) == len(own)


def test_every_own_document_names_sources_and_is_short(own):
    for document in own:
        assert document.keys.get("sources"), document.name
        assert document.keys.get("topic"), document.name
        assert set(document.keys.get("language", ())) <= LANGUAGES, document.name
        assert set(document.keys.get("hardware", ())) <= HARDWARE, document.name
        lines = document.text.splitlines()
        assert 5 <= len(lines) <= 40, document.name
        assert max(map(len, lines)) <= 100, document.name


def test_a_document_is_its_front_matter_and_its_text(tmp_path):
    document = parse(GOOD, name="a/b", path=tmp_path / "b.md")
    assert document == Document(
        name="a/b",
        title="A page",
        text="Text.",
        keys={"hardware": ("gpu", "cpu"), "topic": ("guidance",), "sources": ("One", "Two, too")},
    )


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("title: A\n---\nText\n", 1, "begins with a line '---'"),
        ("", 1, "begins with a line '---'"),
        ("---\ntitle: A\nText without an end\n", 3, "front matter is `key: value`"),
        ("---\ntitle: A\n", 3, "front matter is `key: value`"),
        ("---\ntitle: A", 2, "no closing"),
        ("---\ntitle: A\nhardwear: gpu\n---\nText\n", 3, "hardware"),
        ("---\ntitle: A\ntitle: B\n---\nText\n", 3, "second time"),
        ("---\ntitle:\n---\nText\n", 2, "empty"),
        ("---\ntitle: A\nhardware: gpu,\n---\nText\n", 3, "empty"),
        ("---\ntitle: A\nhardware: [gpu]\n---\nText\n", 3, "lower-case name"),
        ("---\ntitle: A\ntopic: gossip\n---\nText\n", 3, "one of constraints"),
        ("---\ntitle: A\nphase: improve, later\n---\nText\n", 3, "one of draft"),
        ("---\nhardware: gpu\n---\nText\n", 3, "no title"),
        ("---\ntitle: A\n---\n \n", 3, "nothing stands behind"),
        ("---\n title: A\n---\nText\n", 2, "front matter is `key: value`"),
    ],
)
def test_bad_front_matter_is_an_error_that_names_file_and_line(tmp_path, text, line, says):
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_directory(tmp_path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_and_a_missing_directory_are_errors(tmp_path):
    (tmp_path / "page.md").write_bytes(b"---\ntitle: \xff\n---\nText\n")
    with pytest.raises(ConfigError, match=r"page\.md:1: cannot be read as UTF-8"):
        read_directory(tmp_path)
    with pytest.raises(ConfigError, match="no such directory"):
        read_directory(tmp_path / "missing")


def test_a_long_text_is_found_by_its_sections(tmp_path):
    (tmp_path / "long.md").write_text(
        GOOD + "\n## First part\none\n\n## Second\n\n## Third\nthree\n"
    )
    found = read_directory(tmp_path)
    assert [(d.name, d.title, d.text) for d in found] == [
        ("long", "A page", "Text."),
        ("long#1", "A page: First part", "one"),
        ("long#3", "A page: Third", "three"),
    ]
    assert all(d.keys["hardware"] == ("gpu", "cpu") for d in found)


def test_front_matter_in_the_text_is_text(tmp_path):
    text = GOOD + "---\ntitle: Another\nphase: repair\n---\nMore.\n"
    document = parse(text, name="a", path=tmp_path / "a.md")
    assert document.title == "A page"
    assert "phase" not in document.keys
    assert "title: Another" in document.text


@pytest.mark.parametrize(
    ("text", "hardware"),
    [
        ("NVIDIA H200", "hopper"),
        ("NVIDIA H100 80GB HBM3, capability 9.0", "hopper"),
        ("NVIDIA B200", "blackwell"),
        ("NVIDIA GeForce RTX 4090", "ada"),
        ("NVIDIA A100-SXM4-80GB", "ampere"),
        ("AMD Instinct MI300X", "cdna3"),
        ("AMD EPYC 9554 64-Core Processor", "x86"),
        ("Intel(R) Xeon(R) Platinum 8481C", "x86"),
        ("Neoverse-V2", "arm"),
        ("cuda", "nvidia"),
        ("cpu", "cpu"),
        ("Thing 9000", ""),
        (
            "device: AMD EPYC\nthreads: 2\ntorch: 2.13.0+cu128\ncompiler: g++ (Debian 12.2.0-14)",
            "x86",
        ),
        ("device: NVIDIA H200\ncpu: AMD EPYC 9554\ndriver: 580.95", "hopper"),
    ],
)
def test_a_devices_name_says_what_hardware_it_is(text, hardware):
    assert hardware_of(text) == hardware


@pytest.mark.parametrize(
    ("key", "values", "wanted", "expected"),
    [
        ("hardware", ("gpu",), "hopper", True),
        ("hardware", ("hopper",), "gpu", True),
        ("hardware", ("hopper",), "NVIDIA H200", True),
        ("hardware", ("hopper",), "blackwell", False),
        ("hardware", ("cpu",), "cuda", False),
        ("hardware", ("nvidia",), "cuda", True),
        ("hardware", ("cpu", "gpu"), "Neoverse-V2", True),
        ("hardware", ("gpu",), "npu48", False),
        ("hardware", ("other",), "npu48", True),
        ("hardware", ("npu48",), "Acme npu48 rev 2", True),
        ("hardware", ("other",), "hopper", False),
        ("hardware", ("cpu",), "device: NVIDIA H200\ncpu: AMD EPYC 9554", False),
        ("hardware", (), "anything", True),
        ("hardware", ("gpu",), "", True),
        ("language", ("triton",), "Triton", True),
        ("language", ("triton",), "cuda", False),
        ("phase", ("improve",), "crossover", True),
        ("phase", ("repair",), "rewrite", False),
        ("topic", ("guidance",), "hardware", False),
    ],
)
def test_front_matter_that_a_filter_contradicts(key, values, wanted, expected):
    assert fits(key, values, wanted) is expected
