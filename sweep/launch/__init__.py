"""The launchers of `sweep launch`, which run a sweep as a job of a cluster.

Each launcher is a module with a function ``plan(...) -> Plan``. It fills in templates of the folder ``cluster/`` and
changes nothing; `Plan.submit` submits the job.
"""
