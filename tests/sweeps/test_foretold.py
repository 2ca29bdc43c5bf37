"""How long a sweep will take, by what ran."""

from __future__ import annotations

import json

from prunekit.resolve.plugins import Plugins
from prunekit.sweeps.conduct import prepared, sweep
from prunekit.sweeps.foretold import foretold
from prunekit.sweeps.here import Here
from prunekit.sweeps.study import study_from
from tests.sweeps.studies import few


def test_the_seconds_of_a_process_s_first_run_tell_nothing_of_the_others(tmp_path):
    sweep(few(), tmp_path, engine=Here(), say=lambda _: None)
    cold, warm = sorted(tmp_path.rglob("summary.json"))
    for path, seconds, more in ((cold, 1000.0, 5.0), (warm, 10.0, 0.0)):
        facts = json.loads(path.read_text()) | {"seconds": seconds, "cold_seconds": more}
        path.write_text(json.dumps(facts))
    study = study_from(few() | {"seeds": 2})
    ready = prepared(study, tmp_path, plugins=Plugins(), say=lambda _: None)
    assert foretold(ready, False, 1)[-1] == (
        "2 done, 2 new; 2 to run now, about 20 s by the 1 that ran here"
    )
    assert foretold(ready, False, 2)[-1].endswith(
        ", about 10 s, 2 at a time by the 1 that ran here"
    )
    assert foretold(ready, False, None)[-1].endswith("20 s, one at a time by the 1 that ran here")
