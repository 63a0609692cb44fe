"""params.yaml is validated whole, and every mistake is named with the line to mend."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import params
from params import UserError

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")


def load_with(tmp_path: Path, old: str, new: str) -> params.Params:
    assert TEXT.count(old) == 1, old
    file = tmp_path / "params.yaml"
    file.write_text(TEXT.replace(old, new), encoding="utf-8")
    return params.load(file)


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(TEXT.splitlines(), 1) if text in line)


def test_the_shipped_file_is_valid_and_has_the_papers_eight_codecs_ready() -> None:
    loaded = params.load(ROOT / "params.yaml")
    assert list(loaded.platforms) == ["douban", "weibo", "facebook"]
    assert [row.codec for row in loaded.switched_off.values() if row.adapter == "codec"] == [
        "jpeg:75", "jpeg:50", "jpeg:25", "webp:75", "webp:50", "webp:25", "jp2:10", "jp2:20",
    ]  # fmt: skip


def test_the_number_of_an_album_needs_no_quotes(tmp_path: Path) -> None:
    assert load_with(tmp_path, 'album: "1000001"', "album: 1000002").platform("douban").album == "1000002"


def test_one_setting_gives_the_papers_scale(tmp_path: Path) -> None:
    loaded = load_with(tmp_path, "scale: laptop", "scale: paper")
    assert loaded.dataset.name == "ilsvrc"
    assert (loaded.dataset.split.train, loaded.dataset.split.validation, loaded.dataset.split.test) == (
        5000,
        1000,
        1000,
    )
    assert (loaded.train.epochs, loaded.train.minutes, loaded.train.batch_size) == (100, None, 32)
    assert loaded.attack.classifier == "resnet50"
    assert loaded.attack.steps == 10  # what the block doesn't name stays


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("  seed: 2012\n  crops", "  sed: 2012\n  crops", "seed: 2012", "dataset.sed: unknown key"),
        ("size: 224", "size: 8", "size: 224", "dataset.size"),
        ("{adapter: weibo, ", "{adapter: wiebo, ", "adapter: weibo", "no adapter 'wiebo'; there are codec, douban"),
        ("site: sandbox, rendition: xl", "site: moon, rendition: xl", "douban: {adapter", "platforms.douban.site"),
        ("eps: [3, 5] ", "eps: [3, 300] ", "eps: [3, 5] ", "attack.eps.1"),
        ("eps: [3, 5] ", "eps: [5, 5] ", "eps: [3, 5] ", "attack.eps: the same twice"),
        ("[mim, diff90", "[mmi, diff90", "attacks: [mim", "no attack 'mmi'; there are best, bim, fgsm, mim"),
        ("rendition: large}", "rendition: large, codec: jpeg:75}", "weibo: {adapter", "codec, such as jpeg:75"),
        ('{adapter: codec, codec: "webp:50"}', "{adapter: codec}", "webp-50: {adapter", "codec, such as jpeg:75"),
        ("name: sample ", "name: folder ", "dataset:", "dataset folder needs root"),
        ("train: 0.5, validation: 0.1", "train: 0.8, validation: 0.1", "split: {train: 0.5", "add up to 1.3"),
        ("{epochs: 100, minutes", "{epoch: 100, minutes", "{epochs: 100, minutes", "paper.train.epoch: unknown key"),
        (
            "{classifier: resnet50, eps: [3, 5], step_size: null}",
            "{eps: [0]}",
            "attack: {classifier: resnet50",
            "paper.attack.eps.0",
        ),
        ("  weibo: {", "  universal: {", "platforms:  ", "platform name 'universal' is taken"),
        ("train: 0.5, validation: 0.1", "train: 8, validation: 0.1", "split: {train: 0.5", "not a mixture"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_with(tmp_path, old, new)
    assert said in caught.value.message
    assert f"line {line_of(line)}:" in caught.value.message


def test_the_environment_goes_before_the_addresses_of_the_file_and_neither_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = params.load(ROOT / "params.yaml")
    assert (plain.collect.ledger, plain.pairing.database) == ("sqlite:///data/ledger/ledger.db", None)
    assert params.place_of("collect.ledger") == "collect.ledger in params.yaml"
    monkeypatch.setenv("COMREADV_LEDGER", "postgresql://me:s3cret@host/ledger")
    monkeypatch.setenv("COMREADV_PAIRS", "postgresql://me:s3cret@host/pairs")
    loaded = params.load(ROOT / "params.yaml")
    assert loaded.collect.ledger == "postgresql://me:s3cret@host/ledger"
    assert loaded.pairing.database == "postgresql://me:s3cret@host/pairs"
    assert params.place_of("collect.ledger") == "COMREADV_LEDGER in the environment"
    assert loaded.pairing.max_residual == plain.pairing.max_residual
    assert "s3cret" not in repr(loaded)
    monkeypatch.setenv("COMREADV_PAIRS", "")
    assert params.load(ROOT / "params.yaml").pairing.database is None


def test_no_stage_depends_on_where_ledger_and_pairs_are_kept() -> None:
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    named = {key for stage in stages.values() for key in (stage.get("do") or stage).get("params", [])}
    assert "pairing.max_residual" in named
    assert not named & {"collect", "collect.ledger", "pairing", "pairing.database"}


def test_an_unknown_platform_is_answered_with_those_that_exist() -> None:
    with pytest.raises(UserError, match=r"No platform 'nosuch'.*douban, weibo, facebook, jpeg-75"):
        params.load(ROOT / "params.yaml").platform("nosuch")


def test_a_missing_file_and_broken_yaml_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not here"):
        params.load(tmp_path / "params.yaml")
    with pytest.raises(UserError, match="line 2: not valid YAML"):
        load_with(tmp_path, TEXT, "dataset: {name: sample\nplatforms: [")


@given(st.text(max_size=200) | st.sampled_from(TEXT.splitlines()).map(lambda line: TEXT.replace(line, line[::-1])))
@settings(max_examples=150, deadline=None)
def test_no_text_makes_it_crash(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("params") / "params.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        assert params.load(file).dataset
    except UserError as error:
        assert str(file) in error.message
