"""What supervisord and its programs are told."""

import configparser
import json
from dataclasses import replace

from stack.paths import Home
from stack.processes.programs import Program, all_programs
from stack.processes.supervisor_config import MARK, render_config, render_spec
from stack.secrets import MAKERS
from stack.site import Site
from tests.unit.stack.conftest import python_program


def parse(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))  # as supervisord does
    parser.read_string(text)
    return parser


def digest(home: Home, program: Program) -> str:
    return parse(render_config(home, [program], as_root=False))[f"program:{program.name}"]["environment"]


def test_programs_end_in_the_opposite_order_of_their_start(site: Site) -> None:
    config = parse(render_config(site.home, all_programs(site), as_root=False))
    priorities = [int(config[f"program:{name}"]["priority"]) for name in site.settings.programs]
    assert priorities == list(range(1, len(priorities) + 1))


def test_nothing_starts_by_itself_and_everything_is_restarted(site: Site) -> None:
    config = parse(render_config(site.home, all_programs(site), as_root=False))
    for name in site.settings.programs:
        assert config[f"program:{name}"]["autostart"] == "false"
        assert config[f"program:{name}"]["autorestart"] == "true"
        assert int(config[f"program:{name}"]["startretries"]) > 1000, "a program is given up for good"


def test_the_config_holds_neither_secrets_nor_the_path_of_the_home(site: Site) -> None:
    text = render_config(site.home, all_programs(site), as_root=True)
    assert str(site.home.root) not in text
    for name in MAKERS:
        assert site.secrets.read(name) not in text


def test_root_says_that_it_means_it(home: Home) -> None:
    assert parse(render_config(home, [], as_root=True))["supervisord"]["user"] == "root"
    assert "user" not in parse(render_config(home, [], as_root=False))["supervisord"]


def test_whatever_makes_a_difference_is_a_reason_to_restart(home: Home) -> None:
    program = python_program("one", "pass")
    digests = {
        digest(home, program),
        digest(home, replace(program, environment={"A": "1"})),
        digest(home, replace(program, command=("true",))),
        digest(home, replace(program, inputs="other")),
        digest(home, replace(program, prefix=("env",))),
    }
    assert len(digests) == 5
    assert digest(home, program) == digest(home, python_program("one", "pass", title="other words"))


def test_a_spec_holds_any_value(home: Home) -> None:
    strange = "%(ENV_HOME)s ; # 'single' \"double\" \n new line"
    program = python_program("one", strange, environment={"STRANGE": strange})
    spec = json.loads(render_spec(home, program))
    assert spec["command"][-1] == strange
    assert spec["environment"] == {"STRANGE": strange, MARK: str(home.root)}


def test_behind_a_change_of_user_the_death_signal_is_asked_for_again(home: Home) -> None:
    program = python_program("one", "pass", prefix=("unshare", "--user", "--"), death_signal="INT")
    command = json.loads(render_spec(home, program))["command"]
    assert command[:7] == ["unshare", "--user", "--", "setpriv", "--pdeathsig", "INT", "--"]
    assert json.loads(render_spec(home, program))["death_signal"] == "SIGINT"
