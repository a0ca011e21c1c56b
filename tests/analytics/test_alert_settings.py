"""alerts.toml: what is read, and how each mistake is told."""

import ipaddress
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest

from analytics.alert_settings import AlertSettings, load
from collector.errors import ConfigError

GOOD = """
page_url = "http://127.0.0.1:8080/"
webhook_token_env = "IN_TOKEN"
[daily_spend]
limits_usd = {"*" = "50", acme = 200}
[findings]
rules = ["loop", "retry_storm"]
[[targets]]
name = "am0"
kind = "alertmanager"
url = "http://127.0.0.1:9093"
[[targets]]
name = "hook"
kind = "webhook"
url = "https://hooks.example.com/x"
secret_env = "HOOK_SECRET"
allow_networks = ["10.0.0.0/8", "fd00::/8"]
"""
ENVIRON = {"IN_TOKEN": "t-1", "HOOK_SECRET": "s-1"}


def _load(tmp_path: Path, text: str, environ: dict[str, str] = ENVIRON) -> AlertSettings:
    (tmp_path / "alerts.toml").write_text(text)
    return load(tmp_path / "alerts.toml", environ)


def test_missing_file_means_defaults(tmp_path: Path) -> None:
    """Without a file there are no targets and loops are looked at."""
    assert load(tmp_path / "alerts.toml", {}) == AlertSettings()


def test_all_keys(tmp_path: Path) -> None:
    """Every key arrives, secrets from the environment, and no secret shows in a repr."""
    found = _load(tmp_path, GOOD)

    assert found.page_url == "http://127.0.0.1:8080"
    assert found.daily_spend_usd == {"*": Decimal(50), "acme": Decimal(200)}
    assert found.finding_rules == ("loop", "retry_storm")
    assert [t.name for t in found.targets] == ["am0", "hook"]
    assert found.targets[1].allow_networks == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    assert (found.webhook_token, found.targets[1].secret) == ("t-1", "s-1")
    assert "t-1" not in repr(found)
    assert "s-1" not in repr(found)


def test_secret_from_a_file(tmp_path: Path) -> None:
    """NAME_FILE names a file that holds the secret."""
    (tmp_path / "token").write_text("from-file\n")
    found = _load(tmp_path, GOOD, {"IN_TOKEN_FILE": str(tmp_path / "token"), "HOOK_SECRET": "s"})

    assert found.webhook_token == "from-file"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("page_url", "pageurl", "pageurl: is not known; there are targets"),
        ('kind = "webhook"', 'kind = "slack"', r"targets\[1\].kind = 'slack': must be alertmanager or webhook"),
        ('name = "hook"', 'name = "am0"', "the name 'am0' is used twice"),
        (
            'url = "http://127.0.0.1:9093"',
            'url = "file:///etc"',
            r"targets\[0\].url = 'file:///etc': must be an address",
        ),
        ("http://127.0.0.1:9093", "http://u:p@h", "must not hold a user name"),
        ("http://127.0.0.1:9093", "http://h:99999", "must be an address"),
        ('"10.0.0.0/8"', '"10.0.0.1/8"', "'10.0.0.1/8' must be a network"),
        ('"50"', '"fifty"', r"daily_spend.limits_usd.\* = 'fifty': must be dollars"),
        ('"50"', "1.5", r"must be dollars in quotes"),
        ("HOOK_SECRET", "OTHER", "neither OTHER nor OTHER_FILE is set"),
        ("[findings]", "[findings]\nminutes = 0", "findings.minutes = 0: must be a whole number from 1 to 1440"),
        ("[daily_spend]", "[daily_spend", "cannot be read as TOML"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Each mistake names file, key, value and remedy."""
    assert old in GOOD
    with pytest.raises(ConfigError, match=told) as caught:
        _load(tmp_path, GOOD.replace(old, new))
    assert "alerts.toml" in str(caught.value)


def test_the_example_is_commented_out_and_valid(tmp_path: Path) -> None:
    """The shipped example changes nothing as it is, and is valid with its comments removed."""
    text = resources.files("analytics").joinpath("data/alerts.toml").read_text()
    assert _load(tmp_path, text) == AlertSettings()

    lines = [line.removeprefix("# ") for line in text.splitlines()[4:]]
    environ = {"SPANLEDGER_WEBHOOK_TOKEN": "a", "OPS_HOOK_SECRET": "b", "OPS_HOOK_TOKEN": "c"}
    assert [t.kind for t in _load(tmp_path, "\n".join(lines), environ).targets] == ["alertmanager", "webhook"]
