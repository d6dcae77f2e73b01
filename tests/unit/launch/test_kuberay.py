"""The RayJob and what belongs to it: fields, references, what is closed."""

import copy
import gzip
import json
import random
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.launch.job import Job
from sweep.launch.kuberay import plan
from tests.helpers.kuberay_fields import TYPES, errors

EVERY_OPTION = {
    "secret": "keys",
    "env": ["A=b"],
    "pull_secret": "registry",
    "service_account": "lab",
    "priority": "low",
    "node_selector": ["pool=a100", "cloud.google.com/gke-spot=true"],
    "toleration": ["spot:NoSchedule", "team=vision"],
    "storage_class": "ssd",
    "label": ["owner=me", "lab/cost=7"],
    "queue": "team-a",
}
OPTIONS = {"image": "r.example.org/sweep:1", "namespace": "lab", "memory": 24, "storage_size": 50}


def made(**changes):
    job = Job(
        **{**dict(name="first", out="runs/first", arguments=("--points", "6"), nodes=7, cpus=12, gpus=0), **changes}
    )
    planned = plan(job, **OPTIONS)
    return planned, list(yaml.safe_load_all(planned.stdin))


def one(documents, kind, name):
    (document,) = [d for d in documents if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return document


def nodes(tree, path=()):
    """(path, dictionary) for every dictionary within."""
    if isinstance(tree, dict):
        yield path, tree
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from nodes(value, (*path, key))


def pods(documents):
    for document in documents:
        for path, node in nodes(document):
            if "containers" in node:
                yield (document["metadata"]["name"], *path), node


@pytest.mark.parametrize("gpus", (0, 2))
def test_fields_are_those_of_the_api(gpus):
    for document in made(gpus=gpus)[1]:
        assert errors(document, document["kind"], document["kind"]) == []


def closed(schema):
    """Return a schema in which objects have no other fields than those that it names."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(part) for key, part in schema.items()}
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        inner["additionalProperties"] = False
    return inner


@pytest.mark.parametrize("version", ("v1.6.0", "v1.7.0"))
def test_a_job_is_one_by_the_published_schema(version, shared):
    schema = closed(json.loads(gzip.open(shared / f"reference/kuberay/rayjob-{version}.schema.json.gz").read()))
    schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own
    check = jsonschema.Draft202012Validator(schema)
    for options in ({}, {"gpus": 2}, {"gpus": 1, **EVERY_OPTION}):
        (job,) = [d for d in asked(**options) if d["kind"] == "RayJob"]
        assert [e.message for e in check.iter_errors(job)] == []
        for spoil in ({"backoffLimits": 3}, {"backoffLimit": "3"}, {"rayClusterSpec": {"headGroup": {}}}):
            assert list(check.iter_errors({**job, "spec": {**job["spec"], **spoil}}))


def test_the_check_of_fields_finds_misspelt_misplaced_and_mistyped_ones():
    random.seed(0)
    documents = made(gpus=1)[1]
    tried = 0
    for document in documents:
        places = [(p, n) for p, n in nodes(document) if n and not {"labels", "matchLabels", "data"} & set(map(str, p))]
        for path, _ in places:
            if path and path[-1] in ("rayStartParams", "requests", "limits", "selector", "annotations", "stringData"):
                continue
            changed = copy.deepcopy(document)
            node = dict(nodes(changed))[path]
            key = random.choice(sorted(node))
            node[key + "s"] = node.pop(key)
            assert errors(changed, document["kind"], ""), (path, key)
            tried += 1
    assert tried > 100
    for wrong in ({"backoffLimit": "3"}, {"backoffLimits": 3}, {"submissionMode": "K8SJobMode"}):
        assert errors(wrong, "RayJobSpec")
    assert errors({"groupName": "a", "maxReplicas": 1, "minReplicas": 0}, "WorkerGroupSpec")  # without a template
    assert errors({"requests": {"cpu": 4}}, "ResourceRequirements") and set(TYPES) >= {d["kind"] for d in documents}


def test_references_lead_somewhere():
    documents = made()[1]
    names = {(d["kind"], d["metadata"]["name"]) for d in documents}
    assert len(names) == len(documents) and all(n == "first" or n.startswith("first-") for _, n in names)
    references = set()
    for document in documents:
        for _, node in nodes(document):
            for key, kind in (("secretKeyRef", "Secret"), ("configMap", "ConfigMap")):
                if key in node:
                    references.add((kind, node[key]["name"]))
            if "claimName" in node:
                references.add(("PersistentVolumeClaim", node["claimName"]))
            if "redisAddress" in node:
                name, port = node["redisAddress"].split(":")
                assert one(documents, "Service", name)["spec"]["ports"][0]["port"] == int(port)
    assert references <= names and len(references) == 3
    assert "password" in one(documents, "Secret", "first-redis")["stringData"]
    for _, pod in pods(documents):
        volumes = {v["name"] for v in pod.get("volumes", ())}
        assert volumes == {m["name"] for c in pod["containers"] for m in c.get("volumeMounts", ())}
    for document in documents:
        if document["kind"] in ("Deployment", "Service"):
            selector = document["spec"]["selector"]
            wanted = {"sweep": "first", "part": document["metadata"]["labels"]["part"]}
            assert selector.get("matchLabels", selector) == wanted
            if document["kind"] == "Deployment":
                assert document["spec"]["template"]["metadata"]["labels"] == wanted


@pytest.mark.parametrize("gpus", (0, 2))
def test_the_job_is_as_asked_for(gpus):
    planned, documents = made(gpus=gpus)
    cluster = one(documents, "RayJob", "first")["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"} and cluster["enableInTreeAutoscaling"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (workers,) = cluster["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"], workers["groupName"]) == (0, 7, "gpu" if gpus else "cpu")
    (container,) = workers["template"]["spec"]["containers"]
    expected = {"cpu": "12", "memory": "24Gi", **({"nvidia.com/gpu": "2"} if gpus else {})}
    assert container["resources"] == {"requests": expected, "limits": expected}
    volume = one(documents, "PersistentVolumeClaim", "first-results")
    assert volume["spec"]["resources"]["requests"]["storage"] == "50Gi"
    script = one(documents, "ConfigMap", "first-run")["data"]["run.sh"]
    assert "sweep run --out /results/first --address auto --points 6" in script
    images = {c["image"] for _, pod in pods(documents) for c in pod["containers"]}
    assert images == {"r.example.org/sweep:1", "redis:7.4.1-alpine"}
    assert all(c[:3] == ["kubectl", "-n", "lab"] for c in planned.commands)


def asked(gpus=0, **options):
    """Return the documents of a job with options of its pods."""
    job = Job("first", "out", (), nodes=7, cpus=1, gpus=gpus)
    documents = list(yaml.safe_load_all(plan(job, **OPTIONS, **options).stdin))
    assert all(errors(d, d["kind"]) == [] for d in documents)
    return documents


def test_keys_reach_driver_and_workers_only():
    documents = asked(secret="keys", env=["A_KEY=x=y z", "B="])
    places = [(p, n) for d in documents for p, n in nodes(d) if "envFrom" in n]
    assert [p[2] for p, _ in places] == ["headGroupSpec", "workerGroupSpecs"]
    for _, container in places:
        assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
        assert container["env"][-2:] == [{"name": "A_KEY", "value": "x=y z"}, {"name": "B", "value": ""}]


def test_pods_go_where_the_cluster_wants_them():
    documents = asked(gpus=1, **EVERY_OPTION)
    (job,) = [d for d in documents if d["kind"] == "RayJob"]
    cluster = job["spec"]["rayClusterSpec"]
    head, workers = (g["template"]["spec"] for g in (cluster["headGroupSpec"], cluster["workerGroupSpecs"][0]))
    submitter = job["spec"]["submitterPodTemplate"]["spec"]
    for pod in (head, workers, submitter):
        assert pod["imagePullSecrets"] == [{"name": "registry"}] and pod["priorityClassName"] == "low"
    assert (
        head["serviceAccountName"] == workers["serviceAccountName"] == "lab" and "serviceAccountName" not in submitter
    )
    assert (
        workers["nodeSelector"] == {"pool": "a100", "cloud.google.com/gke-spot": "true"} and "nodeSelector" not in head
    )
    assert workers["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "vision"},
    ]
    assert one(documents, "PersistentVolumeClaim", "first-results")["spec"]["storageClassName"] == "ssd"
    labels = [d["metadata"]["labels"] for d in documents]
    labels += [n["metadata"]["labels"] for d in documents for p, n in nodes(d) if "containers" in n.get("spec", {})]
    assert len(labels) > 10 and all({"owner": "me", "lab/cost": "7"}.items() <= some.items() for some in labels)


def test_a_queue_starts_all_nodes_at_once():
    (job,) = [d for d in asked(queue="team-a") if d["kind"] == "RayJob"]
    cluster = job["spec"]["rayClusterSpec"]
    workers = cluster["workerGroupSpecs"][0]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert cluster["enableInTreeAutoscaling"] is False and "autoscalerOptions" not in cluster
    assert [workers[n] for n in ("replicas", "minReplicas", "maxReplicas")] == [7, 7, 7]
    assert job["spec"]["shutdownAfterJobFinishes"] is True  # Kueue asks for it


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"secret": "No Good"}, "`secret` must be a name"),
        ({"queue": "a/b"}, "`queue` must be a name"),
        ({"env": ["1X=2"]}, "`env` must be KEY=VALUE"),
        ({"env": ["X"]}, "`env` must be KEY=VALUE"),
        ({"node_selector": ["pool"]}, "`node_selector` must be KEY=VALUE"),
        ({"label": ["sweep=other"]}, "`label` must not be 'sweep'"),
        ({"label": ["a=b c"]}, "`label` must be KEY=VALUE"),
        ({"toleration": ["spot:Never"]}, "`toleration` must be KEY"),
        ({"toleration": [""]}, "`toleration` must be KEY"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_at_once(options, says):
    with pytest.raises(SpecError, match=says):
        asked(**options)


def test_documents_are_written_to_be_edited(tmp_path):
    command = ["launch", "kuberay", "--image", "i", "--name", "first", "--dry-run", "-o", str(tmp_path / "k")]
    done = CliRunner().invoke(main, [*command, "--label", "a=b", "--", "--points", "9"])
    path = tmp_path / "k" / "manifests.yaml"
    assert done.exit_code == 0 and f"apply -f {path}" in done.stdout and path.stat().st_mode & 0o777 == 0o600
    documents = list(yaml.safe_load_all(path.read_text()))
    assert len(one(documents, "Secret", "first-redis")["stringData"]["password"]) == 64
    assert {d["metadata"]["labels"]["a"] for d in documents} == {"b"}
    refused = CliRunner().invoke(main, ["launch", "kuberay", "--image", "i", "-o", str(tmp_path)])
    assert refused.exit_code == 2 and "'--output': must be left out without --dry-run" in refused.stderr
    nobody = CliRunner().invoke(main, ["launch", "kuberay", "--image", "i", "--dry-run", "-o", "~no-such-user/k"])
    assert nobody.exit_code == 2 and "there is no such user" in nobody.stderr


def test_pods_have_no_rights_and_fixed_sizes():
    specs = dict(pods(made(gpus=1)[1]))
    assert len(specs) == 5
    for path, pod in specs.items():
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, path
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            resources = container["resources"]
            assert resources["requests"] == resources["limits"] and {"cpu", "memory"} <= set(resources["limits"])
    mounting = [p for p, pod in specs.items() if any("persistentVolumeClaim" in v for v in pod.get("volumes", ()))]
    assert {("headGroupSpec" in p, p[0]) for p in mounting} == {(True, "first"), (False, "first-results")}


def allows(policies, labels, source, port):
    """Whether the policies let a pod of these labels be reached by another's at a port."""

    def matches(selector, labels):
        inside = all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", ()))
        return inside and selector.get("matchLabels", {}).items() <= labels.items()

    mine = [p["spec"] for p in policies if matches(p["spec"]["podSelector"], labels)]
    if not mine:
        return True
    for rule in (r for p in mine for r in p.get("ingress", ())):
        ports = [p["port"] for p in rule.get("ports", ())]
        foreign = "sweep" not in source
        if any(matches(f["podSelector"], source) and ("namespaceSelector" in f or not foreign) for f in rule["from"]):
            if not ports or port in ports:
                return True
    return False


def test_network_policies_let_in_the_sweep_only():
    policies = [d for d in made()[1] if d["kind"] == "NetworkPolicy"]

    def part(name, sweep="first"):
        return {"sweep": sweep, "part": name}

    operator = {"app.kubernetes.io/component": "kuberay-operator", "app.kubernetes.io/name": "kuberay"}  # by kustomize
    for source in ("head", "worker", "submitter"):
        assert allows(policies, part("head"), part(source), 6379)
    assert allows(policies, part("worker"), part("head"), 30_000)
    assert allows(policies, part("redis"), part("head"), 6379)
    assert allows(policies, part("head"), operator, 8265)
    assert not allows(policies, part("head"), operator, 6379)
    assert not allows(policies, part("redis"), part("worker"), 6379)
    assert not allows(policies, part("results"), part("head"), 22)
    for name in ("head", "worker", "redis", "results", "submitter"):
        for stranger in ({}, {"app": "x"}, part("head", "other")):
            assert not allows(policies, part(name), stranger, 6379), (name, stranger)
    assert allows([], part("head"), {}, 6379)  # the check itself


def test_the_password_is_new_and_not_shown():
    (first, documents), (second, _) = made(), made()
    password = one(documents, "Secret", "first-redis")["stringData"]["password"]
    assert len(password) == 64 and password not in second.stdin
    assert password not in first.text() and "made anew" in first.text()
    assert not any(password in word for command in first.commands for word in command)
    assert password not in first.advice()
    # A Redis that runs is started anew, to read the new one.
    launches = [
        one(d, "Deployment", "first-redis")["spec"]["template"]["metadata"]["annotations"]["launch"]
        for d in (documents, list(yaml.safe_load_all(second.stdin)))
    ]
    assert launches[0] != launches[1]


def test_files_of_this_machine_are_refused():
    with pytest.raises(SpecError, match="`dataset` must be"):
        made(dataset=Path("/home/me/x.npz"))
