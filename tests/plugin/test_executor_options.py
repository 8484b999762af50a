"""The options of workers: what they become, and what does not go together."""

from __future__ import annotations

import pytest

CLAIMS = """
def test_settings(make_lab):
    print("cluster", make_lab("organism:ducks").settings.cluster)
"""


def test_the_options_become_settings(pytester):
    pytester.makepyfile(CLAIMS)
    ran = pytester.runpytest_inprocess("-s")
    ran.stdout.fnmatch_lines(["*cluster None*"])
    given = ("--causal-executor=ray", "--causal-workers=3", "--causal-gpus-per-worker=0.5")
    ran = pytester.runpytest_inprocess("-s", *given)
    ran.stdout.fnmatch_lines(["*cluster Cluster(workers=3, gpus_per_worker=0.5)*"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--causal-workers=2"], "*--causal-workers is for --causal-executor ray, which was not given.*"),
        (["--causal-gpus-per-worker=1"], "*--causal-gpus-per-worker is for --causal-executor ray*"),
        (["--causal-executor=ray", "-n1"], "*-n would begin a cluster per process: leave out -n.*"),
    ],
)
def test_what_does_not_go_together_is_refused(pytester, options, told):
    pytester.makepyfile(CLAIMS)
    ran = pytester.runpytest_inprocess(*options)
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines([told])
