"""Fixtures: orca's own classes in a process of their own, and a gateway whose stages are native in that orca."""

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
E2E = HERE.parent / "e2e"
sys.path[:0] = [str(E2E), str(HERE)]

from helpers.gateway import command  # noqa: E402
from ingress import Ingress  # noqa: E402
from orca import HOST, Orca  # noqa: E402

_spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)
gateway, upstream, pytest_runtest_makereport = _e2e.gateway, _e2e.upstream, _e2e.pytest_runtest_makereport

WEBHOOK_STAGE = pytest.StashKey()
PUBLIC_URL = f"http://{HOST}:8095"


class Native:
    """A gateway, and an orca that was restarted on what the gateway exports."""

    def __init__(self, gateway, orca, ingress, directory, *export):
        self.gateway, self.orca, self.ingress = gateway, orca, ingress
        self.yaml = directory / "orca-local.yml"
        config = gateway.write_config()
        done = command("export", "orca", "--config", config, "--orca-before-2026.1", *export)
        assert done.returncode == 0, done.stderr
        self.yaml.write_text(done.stdout)
        orca.boot(self.yaml)

    def start(self, stage, parameters=None, after=(), **settings):
        """A pipeline that begins with the stage, as the pipeline editor writes it."""
        first = {"type": stage, "alias": "preconfiguredWebhook", "name": stage, "parameterValues": parameters or {}, **settings}
        return self.orca.start(first, *after)


@pytest.fixture(scope="session")
def ingress():
    one = Ingress()
    yield one
    one.close()


@pytest.fixture(scope="session")
def orca_process(tmp_path_factory, ingress, request):
    one = Orca(tmp_path_factory.mktemp("orca"), ingress)
    yield one
    request.config.stash[WEBHOOK_STAGE] = "orca's own" if one.has_webhooks else "a STAND-IN: orca-webhook was not there"
    one.close()


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(f"the webhook stage was {config.stash.get(WEBHOOK_STAGE, 'not needed')}")


@pytest.fixture
def native(gateway, orca_process, ingress, tmp_path):
    """A factory: native(stages={name: text}, export=[…], options of the gateway…)."""

    def make(stages, export=(), options=None, **more):
        one = gateway(stages=stages, options={"public_url": PUBLIC_URL, **(options or {})}, **more)
        ingress.target = one.port
        return Native(one, orca_process, ingress, tmp_path, *export)

    ingress.faults.clear()
    ingress.requests.clear()
    yield make
    assert not ingress.faults, "a fault that met no request"

