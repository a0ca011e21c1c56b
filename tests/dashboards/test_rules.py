"""Rule files: read again when they change; what cannot be used is refused, and what was said before stays."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from analytics.pricing.book import PriceBook
from collector.errors import ConfigError
from dashboards.rules import RuleFiles

PRICE = '[[model]]\nmodel = "house-model"\nusd_per_request = {usd}\n'


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A price list without genai-prices, which takes a moment to read."""
    monkeypatch.setattr(PriceBook, "seeded", lambda entries=(): PriceBook("list", entries, None))
    yield


def looked_at_twice(files: RuleFiles) -> bool:
    """Whether anything was read by two looks, a second apart for a server."""
    return any([files.refresh(), files.refresh()])


@pytest.mark.usefixtures("quick")
def test_a_changed_file_is_in_force_once_it_has_settled(tmp_path: Path) -> None:
    """The first look after a change only notes it, lest a file is read while it is written; without one nothing is."""
    files = RuleFiles(tmp_path)
    before = files.book
    (tmp_path / "prices.toml").write_text("")  # an editor begins to write
    assert not files.refresh()
    (tmp_path / "prices.toml").write_text(PRICE.format(usd=1))
    assert (files.refresh(), files.book) == (False, before)
    assert (files.refresh(), files.refresh()) == (True, False)
    assert files.book.version not in (before.version, "list")
    (tmp_path / "prices.toml").unlink()
    assert looked_at_twice(files)
    assert files.book.version == before.version


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("prices.toml", PRICE.format(usd='"x"'), "usd_per_request = x: write a price in USD"),
        ("owners.toml", "[[owner]]\nteam = 3\n", "[[owner]] entry 1: team: write a text"),
        ("alerts.toml", "resend_s = 1\n", "resend_s"),
        ("reports.toml", "[[report]]\nname = 3\n", "reports.toml"),
        ("slos/mine.yaml", "kind: SLO\n", "slos/mine.yaml"),
        ("prices.toml", "[[model", "not TOML"),
    ],
)
def test_a_bad_file_is_refused_and_the_last_good_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, text: str, said: str
) -> None:
    """File, key, value and remedy are in the log and in the rules until the file is put right."""
    files = RuleFiles(tmp_path)
    before = (files.book, files.plans, files.rules)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with caplog.at_level(logging.INFO, "dashboards.rules"):
        assert looked_at_twice(files)
    assert (files.book, files.plans) == before[:2]
    assert replace(files.rules, refused={}) == before[2]
    (why,) = files.rules.refused.values()
    assert said in why
    assert str(path) in why
    assert [record.__dict__["problem"] for record in caplog.records] == [why]
    assert not looked_at_twice(files)  # it is told once
    path.unlink()
    assert looked_at_twice(files)
    assert files.rules.refused == {}


@pytest.mark.usefixtures("quick")
def test_every_rule_file_is_read_again(tmp_path: Path) -> None:
    """Objectives, owners, alerts and scheduled reports, too."""
    files = RuleFiles(tmp_path)
    (tmp_path / "owners.toml").write_text('[[owner]]\nteam = "search"\n')
    (tmp_path / "alerts.toml").write_text("resend_s = 77\n")
    (tmp_path / "reports.toml").write_text(
        '[[report]]\nname = "m"\nevery = "month"\npreset = "month-end"\nfolder = "r"\n'
    )
    with resources.as_file(resources.files("analytics").joinpath("data", "slos")) as folder:
        shutil.copytree(folder, tmp_path / "slos")
    assert looked_at_twice(files)
    assert files.rules.refused == {}
    assert files.rules.owners.entries[0].shares == (("search", 1),)
    assert files.rules.alerts.resend_s == 77
    assert [plan.name for plan in files.plans] == ["m"]
    count = len(files.rules.slos)
    next((tmp_path / "slos").iterdir()).unlink()
    assert looked_at_twice(files)
    assert 0 < len(files.rules.slos) < count


def test_a_bad_file_ends_the_start(tmp_path: Path) -> None:
    """There is nothing good to stay with."""
    (tmp_path / "owners.toml").write_text("[[owner]]\n")
    with pytest.raises(ConfigError, match=r"owners\.toml"):
        RuleFiles(tmp_path)
