"""`sweep launch`: the same sweep as a job of a cluster. One module a launcher, each ``plan(...) -> Plan``.

A plan is made from the templates of the folder ``cluster/`` and changes nothing; `Plan.submit` does.
"""
