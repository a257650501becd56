"""Executors train the groups of a study: in this process, in several processes on this machine, or on a Ray cluster.

`in_process()`, `processes(workers)` and `ray(address)` each return an executor. An executor is a function that trains
each group as soon as the runs that it needs are finished, and calls `progress` and `finished` in this process.

A user's mistake in a run stops that run and the runs that depend on it. The others continue, and the error is raised
when they are done. A worker that dies is replaced, at most `RETRIES` times for each group; the new worker continues
from the last checkpoint. SIGTERM, SIGINT and SIGHUP make all workers save and stop.
"""

from kd_jax.studies.executors.local import in_process as in_process
from kd_jax.studies.executors.local import processes as processes
from kd_jax.studies.executors.ray_cluster import ray as ray
from kd_jax.studies.executors.ray_cluster import stand_ins as stand_ins
from kd_jax.studies.executors.scheduler import RETRIES as RETRIES
from kd_jax.studies.executors.scheduler import Executor as Executor
