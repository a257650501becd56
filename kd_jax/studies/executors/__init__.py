"""Where the units of a study are trained: in this process, in processes of this machine, or on a Ray cluster.

`in_process()`, `processes(workers)` and `ray(address)` each return an executor, a function that trains units as soon as
what they start from is finished, and calls `progress` and `finished` in this process. A user's mistake in a run stops
that run and what depends on it; the others go on, and it is raised when they are done. A worker that dies is replaced,
`RETRIES` times a unit, and its successor goes on from the last checkpoint. SIGTERM and SIGINT make all workers save and
stop.
"""

from kd_jax.studies.executors.local import in_process as in_process
from kd_jax.studies.executors.local import processes as processes
from kd_jax.studies.executors.ray_cluster import ray as ray
from kd_jax.studies.executors.ray_cluster import stand_ins as stand_ins
from kd_jax.studies.executors.scheduler import RETRIES as RETRIES
from kd_jax.studies.executors.scheduler import Executor as Executor
