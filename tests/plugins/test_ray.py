"""ray: tasks of Ray; a cluster is emulated by two nodes on this machine."""

from __future__ import annotations

import sys
import threading
import time

import attrs
import pytest
from prunekit_plugins.ray import Ray

from prunekit import Outcome, PrunekitError, SpecError, testing, work
from prunekit.testing.engines import net, task
from tests.sweeps.traces import bits, pids

pytestmark = pytest.mark.filterwarnings("default")  # Ray warns of itself


@pytest.fixture(scope="module")
def nodes():
    """Two nodes of a core each, of which the second may be killed."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'prunekit[ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    beat = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
    cluster.add_node(num_cpus=1, _system_config=beat, include_dashboard=False)
    second = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


MANIFESTS = "t*/checkpoints/*/manifest.json"
SLOWLY = "time.sleep(0.0 if MARK.exists() else 0.1)"


def test_trials_outlive_a_node_and_end_in_the_bits_of_one_process(tmp_path, nodes):
    cluster, second = nodes
    arch, mark = net(tmp_path, SLOWLY)
    tasks = [task(tmp_path, f"t{n}", arch, 4) for n in range(8)]
    tasks = [attrs.evolve(one, spec=f"seed = {n}\n{one.spec}") for n, one in enumerate(tasks)]

    def kill():
        """The second node, as soon as both are in the middle of a trial."""
        while len({path.parents[2] for path in tmp_path.glob(MANIFESTS)}) < 2:
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)
        mark.touch()

    killing = threading.Thread(target=kill, daemon=True)
    killing.start()
    outcomes = list(Ray().work(tasks))
    killing.join()
    assert sorted(outcomes, key=str) == [Outcome(f"t{n}", 0) for n in range(8)]
    logs = [tmp_path / f"t{n}.log" for n in range(8)]
    assert [len(pids(log)) for log in logs].count(2) == 1
    assert "".join(log.read_text() for log in logs).count("goes on from checkpoint") == 1
    for n, one in enumerate(tasks):
        here = attrs.evolve(one, folder=str(tmp_path / f"here{n}"), log=str(tmp_path / "here.log"))
        assert work(here).code == 0
        assert bits(tmp_path / f"here{n}") == bits(tmp_path / f"t{n}")


@pytest.mark.usefixtures("nodes")
@testing.check_engines(Ray())
def test_ray_keeps_the_engine_contract(engine, check):
    check(engine)


def test_where_ray_is_not_installed_that_is_said_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PrunekitError, match=r"needs Ray: pip install 'prunekit\[ray\]'$"):
        next(Ray().work([task(tmp_path, "a")]))


def test_a_trial_on_the_cpu_is_not_given_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", sys)  # it is refused before Ray is asked
    with pytest.raises(SpecError, match="a names the device 'cpu', and the engine is to give it"):
        next(Ray(gpus=1.0).work([task(tmp_path, "a")]))
