"""Where there can be no workers, an error says what to do, before any is begun."""

from __future__ import annotations

import sys

import pytest

from causaltest import Lab
from causaltest.asking.settings import Cluster, Settings
from causaltest.errors import ModelError, WorkersError
from causaltest.measuring.executors import ray as executor

MODEL = "organism:ducks"


def opened(model: object = None, **settings: object) -> object:
    given = Settings(progress=False, **settings)
    return Lab(model, model, settings=given).backend if model else Lab.load(MODEL, settings=given).backend


def test_a_model_given_as_an_object_cannot_be_sent():
    with pytest.raises(ModelError, match=r"this one was given as an object\. Save it with model\.save_pretrained"):
        opened(object(), cluster=Cluster(1))


@pytest.mark.parametrize(
    ("cluster", "device_map", "told"),
    [
        (Cluster(0), None, "--causal-workers 0: at least one"),
        (Cluster(1, -0.5), None, "--causal-gpus-per-worker -0.5: a share"),
        (Cluster(1, 0.5), None, "would stay on the processor: add --causal-device-map auto"),
        (Cluster(1), "auto", "see none that they were not given: add --causal-gpus-per-worker"),
    ],
)
def test_models_that_would_not_go_where_they_should_are_refused(cluster, device_map, told):
    with pytest.raises(WorkersError, match=told):
        opened(cluster=cluster, device_map=device_map)


def test_more_threads_than_processors_are_refused(monkeypatch):
    monkeypatch.setattr(executor, "processors", lambda: 4)
    executor.refuse_crowded(Cluster(4), 1)
    executor.refuse_crowded(Cluster(1), 8)
    with pytest.raises(WorkersError, match=r"4 workers of 2 threads .* the 4 processors .* OMP_NUM_THREADS=1"):
        executor.refuse_crowded(Cluster(4), 2)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    executor.crew_of.cache_clear()
    with pytest.raises(WorkersError, match=r'pip install "causaltest\[ray\]"'):
        opened(cluster=Cluster(1))
