"""Fixtures: the gateway, the scripted upstream, and real servers. Everything listens on free ports of loopback, is
waited for by a condition, and is ended at the end of its test; a test that fails shows what each of them said."""

import os
import resource

import pytest
from helpers.gateway import BINARY, Gateway
from helpers.services import LoadTest, Prometheus, Registry, Target
from helpers.upstream import Upstream


def pytest_configure(config):
    config.addinivalue_line("markers", "no_asan: too long or too large for a build under sanitizers")
    # 10,000 runs in flight need more descriptors than the usual 1,024; the gateway inherits them.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    for name in [name for name in os.environ if name.startswith("STAGEDOOR_")]:
        del os.environ[name]  # options and secrets of whoever runs the tests


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for name, value in sorted(item.funcargs.items()):
            for shown in getattr(value, "made", [value]):
                if isinstance(shown, Gateway) and shown.starts:
                    report.sections.append((f"log of {shown}", shown.all_logs()[-12000:]))
                elif isinstance(shown, Upstream):
                    lines = "\n".join(map(repr, shown.requests[-50:]))
                    report.sections.append((f"{name} got {len(shown.requests)} requests", lines))
                elif hasattr(shown, "log_text") and not isinstance(shown, Gateway):
                    report.sections.append((f"{name} said", shown.log_text()[-4000:]))


@pytest.fixture
def gateway(tmp_path):
    """A factory: gateway(stages={name: text}, options={…}, …) gives a gateway that is ready."""
    assert BINARY.is_file(), f"{BINARY} is not built"
    made = []

    def make(started=True, flags=(), **options):
        one = Gateway(tmp_path / f"gateway{len(made) + 1}", **options)
        made.append(one)
        return one.start(*flags) if started else one

    make.made = made
    yield make
    problems = []
    for one in made:
        try:
            one.close()
        except AssertionError as error:
            problems.append(error)
    if problems:
        raise problems[0]


@pytest.fixture
def upstream():
    one = Upstream()
    yield one
    one.close()


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    one = Registry(tmp_path_factory.mktemp("registry"))
    yield one
    one.close()


@pytest.fixture(scope="session")
def prometheus_upstream():
    one = Upstream()
    one.keep_requests = False
    yield one
    one.close()


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory, prometheus_upstream):
    """Scrapes itself and the scripted upstream's /metrics, which a test sets."""
    one = Prometheus(tmp_path_factory.mktemp("prometheus"), [prometheus_upstream.url.removeprefix("http://")])
    yield one
    one.close()


@pytest.fixture(scope="session")
def target(tmp_path_factory):
    one = Target(tmp_path_factory.mktemp("target"))
    yield one
    one.close()


@pytest.fixture(scope="session")
def loadtest(tmp_path_factory):
    one = LoadTest(tmp_path_factory.mktemp("loadtest"))
    yield one
    one.close()
