"""Options: the file, flags and environment are three ways to say the same; every mistake is named, all at once."""

import re

import pytest
from helpers.gateway import command, conf
from helpers.jobs import call_stage
from helpers.upstream import reply
from helpers.wait import wait_until


def sample():
    done = command("serve", "--print-options")
    assert done.returncode == 0, done
    return done.stdout


def options_of(text):
    """Names in a sample, commented out or not."""
    return re.findall(r"^#?\s?([a-z_]+)\s*=", text, re.M)


def test_sample_is_commented_and_loads_back(gateway):
    text = sample()
    assert {"listen", "stages", "templates", "store", "loops", "retention", "log_format"} <= set(options_of(text))
    gw = gateway(started=False)
    # With every default said aloud it serves as it does without a file; only the address has to be a free one.
    uncommented = re.sub(r"^#\s?([a-z_]+\s*=)", r"\1", text, flags=re.M)
    config = gw.directory / "all.conf"
    config.write_text(re.sub(r"^listen\s*=.*$", f'listen = [ "127.0.0.1:{gw.port}" ];', uncommented, flags=re.M))
    gw.start("--config", str(config))
    assert gw.client().get("/stages").status == 200


def test_flags_win_over_environment_over_file(gateway, upstream):
    gw = gateway(started=False, options={"user_agent": "from-file", "public_url": "http://file.example"})
    gw.env = {"STAGEDOOR_PUBLIC_URL": "http://environment.example"}
    gw.start()
    upstream.on("POST", "/call", reply(200, {}))
    gw.put_stage("call", call_stage(upstream.url))
    wait_until(lambda: gw.client().get("/stages/call").status == 200, "the stage")
    report = gw.client().run("call")
    assert report["statusUrl"].startswith("http://environment.example/")
    assert upstream.got()[-1].header("User-Agent") == "from-file"
    gw.stop()
    gw.start("--public_url", "http://flag.example")
    assert gw.client().run("call")["statusUrl"].startswith("http://flag.example/")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"lopps": 2}, ["lopps", "loops"]),
        ({"loops": "two"}, ["loops"]),
        ({"loops": -1}, ["loops"]),
        ({"loops": 100000}, ["loops", "256"]),
        ({"retention": "soon"}, ["retention", "soon"]),
        ({"max_body_size": "1XB"}, ["max_body_size"]),
        ({"max_body_size": "1TiB"}, ["max_body_size"]),
        ({"log_format": "xml"}, ["log_format", "logfmt"]),
        ({"log_level": "inof"}, ["log_level", "info"]),
        ({"listen": []}, ["listen"]),
        ({"listen": ["nonsense"]}, ["nonsense"]),
        ({"listen": ["127.0.0.1:99999"]}, ["99999"]),
        ({"store": "mysql://x"}, ["mysql"]),
        ({"store": "sqlite::memory:"}, ["memory"]),
        ({"open": "yes"}, ["open"]),
        ({"stages": "/nonexistent/stages"}, ["/nonexistent/stages"]),
        ({"secrets": "/nonexistent/secrets"}, ["/nonexistent/secrets"]),
        ({"tls_certificate": "/nonexistent/x.pem"}, ["tls"]),
    ],
)
def test_bad_options(gateway, options, words):
    gw = gateway(started=False, options=options)
    gw.launch()
    log = gw.ended(status=2)
    assert all(word in log for word in words), log


def test_all_mistakes_at_once_with_file_and_line(gateway):
    gw = gateway(started=False)
    gw.options = {"loops": -1, "retention": "soon", "lopps": 1}
    gw.launch()
    log = gw.ended(status=2)
    for line, word in ((1, "loops"), (2, "retention"), (3, "lopps")):
        assert re.search(rf"stagedoor\.conf:{line}\b.*{word}", log), log


def test_bad_flags_and_environment(gateway):
    gw = gateway(started=False)
    gw.launch("--loops", "x")
    assert "--loops" in gw.ended(status=2)
    gw.launch("--lopps", "1")
    assert "lopps" in gw.ended(status=2)
    gw.env = {"STAGEDOOR_LOOPS": "x"}
    gw.launch()
    assert "STAGEDOOR_LOOPS" in gw.ended(status=2)


@pytest.mark.parametrize("words", [["-c", "{}"], ["-c{}"], ["--config", "{}"], ["--config={}"]])
def test_the_file_is_named_as_for_all_commands(tmp_path, words):
    (tmp_path / "one.conf").write_text('lopps = 1;\nstages = "nowhere";\n')
    named = [word.format(tmp_path / "one.conf") for word in words]
    for name in ("serve", "check", "doctor"):
        done = command(name, *named)
        assert 'one.conf:1: unknown option "lopps"; did you mean "loops"?' in done.stdout + done.stderr, (name, done)
    for last in ("-c", "--config"):
        done = command("serve", last)
        assert done.returncode == 2 and "--config needs a value" in done.stderr, done


def test_config_that_is_missing_or_broken(gateway, tmp_path):
    done = command("serve", "--config", tmp_path / "none.conf")
    assert done.returncode == 2 and "none.conf" in done.stderr, done
    (tmp_path / "bad.conf").write_text('loops = 1;\nlisten = [ "127.0.0.1:1"\n')
    done = command("serve", "--config", tmp_path / "bad.conf")
    assert done.returncode == 2 and "bad.conf:" in done.stderr, done


def test_relative_paths_are_behind_the_file(tmp_path, gateway):
    gw = gateway(started=False)
    gw.options.update({"stages": "stages.d", "templates": "templates", "store": "sqlite:here.db", "secrets": "secrets"})
    gw.start()
    assert (gw.directory / "here.db").exists()


def test_options_that_change_with_a_reload(gateway):
    gw = gateway(options={"public_url": "http://one.example"})
    gw.options["public_url"] = "http://two.example"
    (gw.directory / "stagedoor.conf").write_text(conf(gw.options))
    gw.reload()
    gw.wait_log(event="reload")
    assert gw.client().get("/health").status == 200


def test_help():
    for words in (["--help"], ["serve", "--help"]):
        done = command(*words)
        assert done.returncode == 0 and "serve" in done.stdout, done
    assert "--listen" in command("serve", "--help").stdout
    assert command().returncode == 2
    done = command("sevre")
    assert done.returncode == 2 and "serve" in done.stderr, done
