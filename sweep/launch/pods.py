"""What a cluster of Kubernetes may ask of the pods of a sweep: accounts, nodes, priorities, labels, a queue."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.errors import SpecError

_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_KEY = re.compile(r"([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_OWN_LABELS = ("sweep", "part")  # by which policies and services find the pods


@dataclass(frozen=True, kw_only=True)
class PodOptions:
    """Options of the pods of a RayJob; by default, nothing is asked for.

    Attributes
    ----------
    secret, env:
        Secret with environment variables, and variables ``NAME=VALUE``, for head and workers.
    pull_secret, service_account, priority:
        Names of the Secret for the registry, of the service account, and of the priority class, of all pods but Redis.
    node_selector, toleration:
        Labels ``KEY=VALUE`` of nodes, and taints ``KEY[=VALUE][:EFFECT]`` that workers put up with.
    storage_class:
        Storage class of the volume for results.
    label:
        Labels ``KEY=VALUE`` of everything that is created.
    queue:
        Queue of Kueue, which starts the job with all of its nodes, or not yet: there is no autoscaling.

    Raises
    ------
    SpecError
        A name is not one that Kubernetes takes.
    """

    secret: str | None = None
    env: Sequence[str] = ()
    pull_secret: str | None = None
    service_account: str | None = None
    priority: str | None = None
    node_selector: Sequence[str] = ()
    toleration: Sequence[str] = ()
    storage_class: str | None = None
    label: Sequence[str] = ()
    queue: str | None = None

    def __post_init__(self) -> None:
        for name in ("secret", "pull_secret", "service_account", "priority", "storage_class", "queue"):
            value = getattr(self, name)
            if value is not None and not _NAME.fullmatch(value):
                raise SpecError(f"`{name}` must be a name of Kubernetes, got {value[:80]!r}")

    @property
    def _variables(self) -> list[dict[str, str]]:
        return [{"name": n, "value": v} for n, v in _pairs("env", self.env, _VARIABLE, re.compile(r"(?s).*"))]

    @property
    def _labels(self) -> dict[str, str]:
        labels = dict(_pairs("label", self.label, _KEY, _VALUE))
        if taken := [key for key in labels if key in _OWN_LABELS]:
            raise SpecError(f"`label` must not be {taken[0]!r}, by which the pods of a sweep are found")
        return labels

    @property
    def _selector(self) -> dict[str, str]:
        return dict(_pairs("node_selector", self.node_selector, _KEY, _VALUE))

    @property
    def _tolerations(self) -> list[dict[str, str]]:
        tolerations = []
        for text in self.toleration:
            taint, _, effect = text.partition(":")
            key, equals, value = taint.partition("=")
            if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value) or (effect and effect not in _EFFECTS):
                allowed = f"KEY[=VALUE][:EFFECT], EFFECT one of {', '.join(_EFFECTS)}"
                raise SpecError(f"`toleration` must be {allowed}, got {text[:120]!r}")
            matched = {"operator": "Equal", "value": value} if equals else {"operator": "Exists"}
            tolerations.append({"key": key, **matched, **({"effect": effect} if effect else {})})
        return tolerations

    def apply(self, documents: Iterable[dict[str, Any]], nodes: int) -> None:
        """Change the documents of a job of at most so many nodes as the options say.

        Raises
        ------
        SpecError
            An option is not a pair, or a taint, that Kubernetes takes.
        """
        for document in documents:
            document["metadata"].setdefault("labels", {}).update(self._labels)
            for pod in _templates(document):
                pod["metadata"].setdefault("labels", {}).update(self._labels)
            if document["kind"] == "PersistentVolumeClaim" and self.storage_class:
                document["spec"]["storageClassName"] = self.storage_class
            if document["kind"] == "RayJob":
                self._apply_to_job(document, nodes)

    def _apply_to_job(self, job: dict[str, Any], nodes: int) -> None:
        cluster = job["spec"]["rayClusterSpec"]
        workers = cluster["workerGroupSpecs"][0]
        for pod in _templates(job):
            if self.pull_secret:
                pod["spec"]["imagePullSecrets"] = [{"name": self.pull_secret}]
            if self.priority:
                pod["spec"]["priorityClassName"] = self.priority
        for group in (cluster["headGroupSpec"], workers):
            pod = group["template"]["spec"]
            if self.service_account:
                pod["serviceAccountName"] = self.service_account
            (container,) = pod["containers"]
            if self._variables:
                container["env"] = [*container.get("env", []), *self._variables]
            if self.secret:
                container["envFrom"] = [{"secretRef": {"name": self.secret}}]
        pod = workers["template"]["spec"]
        if self._selector:
            pod["nodeSelector"] = self._selector
        if self._tolerations:
            pod["tolerations"] = [*pod.get("tolerations", []), *self._tolerations]
        if self.queue:
            job["metadata"]["labels"][_QUEUE_LABEL] = self.queue
            cluster["enableInTreeAutoscaling"] = False  # Kueue admits a job with all that it will ever have
            del cluster["autoscalerOptions"]
            workers |= {"replicas": nodes, "minReplicas": nodes, "maxReplicas": nodes}


def _pairs(name: str, texts: Sequence[str], key: re.Pattern[str], value: re.Pattern[str]) -> list[tuple[str, str]]:
    """Return texts ``KEY=VALUE`` as pairs; refuse those that are not of these forms."""
    pairs = []
    for text in texts:
        left, equals, right = text.partition("=")
        if not equals or not key.fullmatch(left) or not value.fullmatch(right):
            raise SpecError(f"`{name}` must be KEY=VALUE, of characters that Kubernetes takes, got {left[:80]!r}")
        pairs.append((left, right))
    return pairs


def _templates(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the templates of the pods that a document creates."""
    spec = document.get("spec", {})
    if document["kind"] == "RayJob":
        cluster = spec["rayClusterSpec"]
        yield from (
            spec["submitterPodTemplate"],
            cluster["headGroupSpec"]["template"],
            cluster["workerGroupSpecs"][0]["template"],
        )
    elif "template" in spec:
        yield spec["template"]
