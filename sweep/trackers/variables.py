"""The environment variables that W&B's library may see in the process of a tracker.

The library takes every setting from a variable ``WANDB_...``. A sweep may run where W&B has set some for a run of its
own: in an agent, in a launched job, below another script that logs. Those name one run, and the sweep has many.
"""

from collections.abc import MutableMapping

from sweep.trackers.errors import TrackerError

# Where to log, as whom, how to get there, and labels that runs may share. All others are dropped, those that later
# versions of the library will read among them.
_KEPT = frozenset(
    f"WANDB_{name}"
    for name in """
    API_KEY IDENTITY_TOKEN_FILE CREDENTIALS_FILE USERNAME USER_EMAIL
    BASE_URL APP_URL ENTITY ORGANIZATION PROJECT MODE
    HTTP_PROXY HTTPS_PROXY _PROXIES _EXTRA_HTTP_HEADERS INSECURE_DISABLE_SSL
    HTTP_TIMEOUT INIT_TIMEOUT FILE_PUSHER_TIMEOUT LOGIN_TIMEOUT _SERVICE_WAIT
    CONFIG_DIR CACHE_DIR DATA_DIR
    TAGS NOTES JOB_TYPE HOST
    ERROR_REPORTING DEBUG CORE_DEBUG
    """.split()
)
_YES = ("1", "true", "yes", "on", "y", "t")


def forget_other_runs(variables: MutableMapping[str, str]) -> None:
    """Drop the variables that say something about one run of W&B, or about one process that logs.

    Parameters
    ----------
    variables:
        The environment, which is changed.

    Raises
    ------
    TrackerError
        A variable says that nothing is to be logged.
    """
    for name in ("WANDB_DISABLED", "WANDB_MODE"):
        value = variables.get(name, "").strip().lower()
        if value == "disabled" or (name == "WANDB_DISABLED" and value in _YES):
            raise TrackerError(f"{name}={variables[name]}")
    for name in [n for n in variables if n.startswith("WANDB_") and n not in _KEPT]:
        del variables[name]
