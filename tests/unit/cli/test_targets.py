"""Which server is asked with which key, and where a key is never sent."""

from pathlib import Path

import msgspec
import pytest

from fairlead.adapters import dev_file
from fairlead.adapters.engines import EngineUrls
from fairlead.cli import targets
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.targets import Profile, Target, Wanted, find, profiles_file, write_profiles
from tests.support.api_keys import some_key

KEY, OTHER_KEY = some_key("A"), some_key("B")
HERE = "http://127.0.0.1:8400"
ENGINES = EngineUrls(database_app="a", database_owner="o", database_engine="e", nats="n")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def saved(environment: dict[str, str], **profiles: Profile) -> None:
    write_profiles(profiles_file(environment), profiles)


def development(folder: Path, url: str | None = HERE, key: str = KEY) -> Path:
    data = folder / targets.DEV_FOLDER
    data.mkdir(parents=True)
    dev_file.write_dev_file(data, dev_file.DevInstance(pid=1, engines=ENGINES, url=url))
    (data / targets.DEV_KEY_FILE).touch(0o600)
    (data / targets.DEV_KEY_FILE).write_text(key + "\n")
    return data


def refused(wanted: Wanted, environment: dict[str, str], here: Path) -> Failure:
    with pytest.raises(Failure) as failure:
        find(wanted, environment, here)
    return failure.value


def test_writer_and_reader_of_the_development_file_mean_the_same_files() -> None:
    assert (targets.DEV_FILE, targets.DEV_KEY_FILE) == (dev_file.FILE, dev_file.KEY_FILE)


def test_a_running_development_instance_needs_no_options(tmp_path: Path, environment: dict[str, str]) -> None:
    development(tmp_path)
    (tmp_path / "deep" / "down").mkdir(parents=True)
    target = find(Wanted(), environment, tmp_path / "deep" / "down")
    assert (target.url, target.key) == (HERE, KEY)


def test_an_instance_that_is_still_starting_is_none(tmp_path: Path, environment: dict[str, str]) -> None:
    development(tmp_path, url=None)
    assert refused(Wanted(), environment, tmp_path).exit_code == Exit.USAGE


@pytest.mark.parametrize("name", [targets.DEV_FILE, targets.DEV_KEY_FILE])
def test_development_files_that_others_may_write_or_read_are_not_believed(
    tmp_path: Path, environment: dict[str, str], name: str
) -> None:
    (development(tmp_path) / name).chmod(0o644)
    assert refused(Wanted(), environment, tmp_path).exit_code == Exit.USAGE


def test_a_link_in_place_of_the_key_is_not_followed(tmp_path: Path, environment: dict[str, str]) -> None:
    data = development(tmp_path)
    secret = tmp_path / "id_ed25519"
    secret.touch(0o600)
    (data / targets.DEV_KEY_FILE).unlink()
    (data / targets.DEV_KEY_FILE).symlink_to(secret)
    assert refused(Wanted(), environment, tmp_path).exit_code == Exit.USAGE


def test_a_development_instance_is_on_this_machine(tmp_path: Path, environment: dict[str, str]) -> None:
    development(tmp_path, url="https://elsewhere.example")
    assert refused(Wanted(), environment, tmp_path).exit_code == Exit.USAGE


def test_options_win_over_the_development_instance(tmp_path: Path, environment: dict[str, str]) -> None:
    development(tmp_path)
    target = find(Wanted(url="https://fairlead.example", key=OTHER_KEY), environment, tmp_path)
    assert (target.url, target.key) == ("https://fairlead.example", OTHER_KEY)


def test_a_key_is_not_sent_to_another_server_than_its_own(tmp_path: Path, environment: dict[str, str]) -> None:
    development(tmp_path)
    saved(environment, default=Profile(url="https://fairlead.example", key=OTHER_KEY))
    assert refused(Wanted(url="https://other.example"), environment, tmp_path).exit_code == Exit.NOT_PERMITTED
    assert refused(Wanted(url="http://127.0.0.1:8401"), environment, tmp_path).exit_code == Exit.NOT_PERMITTED


def test_the_key_saved_for_a_server_is_used_for_it(tmp_path: Path, environment: dict[str, str]) -> None:
    development(tmp_path)
    saved(environment, work=Profile(url="https://fairlead.example", key=OTHER_KEY))
    assert find(Wanted(url="https://FAIRLEAD.example:443/"), environment, tmp_path).key == OTHER_KEY


def test_the_default_profile_is_used_where_no_instance_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    saved(environment, default=Profile(url="https://a.example", key=KEY), b=Profile(url="https://b.example", key=KEY))
    assert find(Wanted(), environment, tmp_path).url == "https://a.example"
    assert find(Wanted(profile="b"), environment, tmp_path).url == "https://b.example"
    assert refused(Wanted(profile="c"), environment, tmp_path).exit_code == Exit.USAGE


def test_profiles_that_others_may_read_are_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    saved(environment, default=Profile(url="https://a.example", key=KEY))
    file = profiles_file(environment)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    assert "chmod 600" in refused(Wanted(), environment, tmp_path).details[0]


@pytest.mark.parametrize("url", ["http://fairlead.example", "http://10.0.0.7:8400", "ftp://x", "nowhere", "http://[::"])
def test_a_key_does_not_travel_in_the_clear(tmp_path: Path, environment: dict[str, str], url: str) -> None:
    assert refused(Wanted(url=url, key=KEY), environment, tmp_path).exit_code == Exit.USAGE


def test_a_trusted_network_can_be_allowed(tmp_path: Path, environment: dict[str, str]) -> None:
    assert find(Wanted(url="http://api:8400", key=KEY, allow_http=True), environment, tmp_path).url == "http://api:8400"


def test_what_is_no_key_is_not_sent(tmp_path: Path, environment: dict[str, str]) -> None:
    failure = refused(Wanted(url=HERE, key="hunter2"), environment, tmp_path)
    assert failure.exit_code == Exit.USAGE
    assert "hunter2" not in str(failure)


def test_no_key_is_shown() -> None:
    shown = [Target(url=HERE, key=KEY, source="x"), Wanted(key=KEY), Profile(url=HERE, key=KEY)]
    assert not any(KEY in repr(what) for what in shown)


def test_a_file_that_is_no_profile_file_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    saved(environment)
    profiles_file(environment).write_bytes(msgspec.json.encode([1]))
    assert refused(Wanted(), environment, tmp_path).exit_code == Exit.FAILED
