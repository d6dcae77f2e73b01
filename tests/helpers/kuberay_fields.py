"""What the fields of our manifests are, by the API references of KubeRay 1.6 and of Kubernetes.

A type is a dictionary of fields; a field is a type's name, a Python type, a set of allowed values, a list of one of
these (an array), or a dictionary with the key ``*`` (a map).
"""

import re

LABELS = {"*": str}
QUANTITY = re.compile(r"\d+(\.\d+)?(m|Ki|Mi|Gi|Ti)?")

TYPES = {
    # ray.io/v1
    "RayJob": {"apiVersion": {"ray.io/v1"}, "kind": {"RayJob"}, "metadata": "ObjectMeta", "spec": "RayJobSpec"},
    "RayJobSpec": {
        "activeDeadlineSeconds": int,
        "backoffLimit": int,
        "entrypoint": str,
        "entrypointNumCpus": float,
        "jobId": str,
        "metadata": LABELS,
        "rayClusterSpec": "RayClusterSpec",
        "runtimeEnvYAML": str,
        "shutdownAfterJobFinishes": bool,
        "submissionMode": {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"},
        "submitterConfig": "SubmitterConfig",
        "submitterPodTemplate": "PodTemplateSpec",
        "suspend": bool,
        "ttlSecondsAfterFinished": int,
    },
    "SubmitterConfig": {"backoffLimit": int},
    "RayClusterSpec": {
        "authOptions": "AuthOptions",
        "autoscalerOptions": "AutoscalerOptions",
        "enableInTreeAutoscaling": bool,
        "gcsFaultToleranceOptions": "GcsFaultToleranceOptions",
        "headGroupSpec": "HeadGroupSpec",
        "headServiceAnnotations": LABELS,
        "rayVersion": str,
        "suspend": bool,
        "workerGroupSpecs": ["WorkerGroupSpec"],
    },
    "AuthOptions": {"mode": {"disabled", "token"}, "secretName": str},
    "AutoscalerOptions": {
        "env": ["EnvVar"],
        "idleTimeoutSeconds": int,
        "image": str,
        "resources": "ResourceRequirements",
        "securityContext": "SecurityContext",
        "upscalingMode": {"Default", "Aggressive", "Conservative"},
        "version": {"v1", "v2"},
    },
    "GcsFaultToleranceOptions": {
        "externalStorageNamespace": str,
        "redisAddress": str,
        "redisPassword": "RedisCredential",
        "redisUsername": "RedisCredential",
    },
    "RedisCredential": {"value": str, "valueFrom": "EnvVarSource"},
    "HeadGroupSpec": {"rayStartParams": LABELS, "serviceType": str, "template": "PodTemplateSpec"},
    "WorkerGroupSpec": {
        "groupName": str,
        "idleTimeoutSeconds": int,
        "maxReplicas": int,
        "minReplicas": int,
        "numOfHosts": int,
        "rayStartParams": LABELS,
        "replicas": int,
        "template": "PodTemplateSpec",
    },
    # Kubernetes
    "ObjectMeta": {"name": str, "namespace": str, "labels": LABELS, "annotations": LABELS},
    "PodTemplateSpec": {"metadata": "ObjectMeta", "spec": "PodSpec"},
    "PodSpec": {
        "affinity": "Affinity",
        "automountServiceAccountToken": bool,
        "containers": ["Container"],
        "imagePullSecrets": [{"name": str}],
        "nodeSelector": LABELS,
        "priorityClassName": str,
        "restartPolicy": {"Always", "OnFailure", "Never"},
        "securityContext": "PodSecurityContext",
        "serviceAccountName": str,
        "terminationGracePeriodSeconds": int,
        "tolerations": ["Toleration"],
        "volumes": ["Volume"],
    },
    "Container": {
        "args": [str],
        "command": [str],
        "env": ["EnvVar"],
        "envFrom": [{"secretRef": {"name": str}}],
        "image": str,
        "name": str,
        "ports": ["ContainerPort"],
        "readinessProbe": "Probe",
        "resources": "ResourceRequirements",
        "securityContext": "SecurityContext",
        "volumeMounts": ["VolumeMount"],
    },
    "ContainerPort": {"name": str, "containerPort": int, "protocol": {"TCP", "UDP"}},
    "Probe": {"tcpSocket": {"port": int}, "periodSeconds": int},
    "EnvVar": {"name": str, "value": str, "valueFrom": "EnvVarSource"},
    "EnvVarSource": {"secretKeyRef": {"name": str, "key": str}},
    "ResourceRequirements": {"requests": {"*": QUANTITY}, "limits": {"*": QUANTITY}},
    "SecurityContext": {
        "allowPrivilegeEscalation": bool,
        "capabilities": {"drop": [str], "add": [str]},
        "readOnlyRootFilesystem": bool,
        "runAsNonRoot": bool,
    },
    "PodSecurityContext": {
        "fsGroup": int,
        "runAsGroup": int,
        "runAsNonRoot": bool,
        "runAsUser": int,
        "seccompProfile": {"type": {"RuntimeDefault", "Localhost", "Unconfined"}},
    },
    "Affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": "NodeSelector"}},
    "NodeSelector": {"nodeSelectorTerms": [{"matchExpressions": ["Expression"]}]},
    "Expression": {"key": str, "operator": {"In", "NotIn", "Exists", "DoesNotExist"}, "values": [str]},
    "Toleration": {
        "key": str,
        "operator": {"Exists", "Equal"},
        "effect": {"NoSchedule", "PreferNoSchedule", "NoExecute"},
        "value": str,
    },
    "Volume": {
        "name": str,
        "configMap": {"name": str},
        "emptyDir": {"sizeLimit": QUANTITY},
        "persistentVolumeClaim": {"claimName": str},
    },
    "VolumeMount": {"name": str, "mountPath": str, "readOnly": bool},
    "ConfigMap": {"apiVersion": {"v1"}, "kind": {"ConfigMap"}, "metadata": "ObjectMeta", "data": LABELS},
    "Secret": {
        "apiVersion": {"v1"},
        "kind": {"Secret"},
        "metadata": "ObjectMeta",
        "type": {"Opaque"},
        "stringData": LABELS,
    },
    "Service": {
        "apiVersion": {"v1"},
        "kind": {"Service"},
        "metadata": "ObjectMeta",
        "spec": {"selector": LABELS, "ports": [{"name": str, "port": int}]},
    },
    "PersistentVolumeClaim": {
        "apiVersion": {"v1"},
        "kind": {"PersistentVolumeClaim"},
        "metadata": "ObjectMeta",
        "spec": {
            "accessModes": [{"ReadWriteOnce", "ReadWriteMany"}],
            "resources": "ResourceRequirements",
            "storageClassName": str,
        },
    },
    "Deployment": {
        "apiVersion": {"apps/v1"},
        "kind": {"Deployment"},
        "metadata": "ObjectMeta",
        "spec": {
            "replicas": int,
            "selector": "LabelSelector",
            "strategy": {"type": {"Recreate", "RollingUpdate"}},
            "template": "PodTemplateSpec",
        },
    },
    "LabelSelector": {"matchLabels": LABELS, "matchExpressions": ["Expression"]},
    "NetworkPolicy": {
        "apiVersion": {"networking.k8s.io/v1"},
        "kind": {"NetworkPolicy"},
        "metadata": "ObjectMeta",
        "spec": {
            "podSelector": "LabelSelector",
            "policyTypes": [{"Ingress", "Egress"}],
            "ingress": [
                {
                    "from": [{"podSelector": "LabelSelector", "namespaceSelector": "LabelSelector"}],
                    "ports": [{"protocol": {"TCP", "UDP"}, "port": int}],
                }
            ],
        },
    },
}
REQUIRED = {
    "RayClusterSpec": {"headGroupSpec"},
    "HeadGroupSpec": {"template"},
    "WorkerGroupSpec": {"groupName", "maxReplicas", "minReplicas", "template"},
    "Container": {"name", "image"},
    "PodSpec": {"containers"},
    "VolumeMount": {"name", "mountPath"},
    "EnvVar": {"name"},
}


def errors(value, kind, where=""):
    """What is wrong with a value, by its type."""
    if isinstance(kind, str):
        missing = REQUIRED.get(kind, set()) - set(value if isinstance(value, dict) else ())
        return [f"{where}: {name} is missing" for name in sorted(missing)] + errors(value, TYPES[kind], where)
    if isinstance(kind, set):
        return [] if value in kind else [f"{where}: {value!r} is none of {sorted(kind)}"]
    if isinstance(kind, type):
        return [] if type(value) is kind else [f"{where}: {value!r} is no {kind.__name__}"]
    if isinstance(kind, re.Pattern):
        return [] if isinstance(value, str) and kind.fullmatch(value) else [f"{where}: {value!r} is no quantity"]
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [f"{where}: {value!r} is no array"]
        return [e for i, v in enumerate(value) for e in errors(v, kind[0], f"{where}[{i}]")]
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no object"]
    found = []
    for name, item in value.items():
        if "*" not in kind and name not in kind:
            found.append(f"{where}: there is no field {name}")
        else:
            found += errors(item, kind.get("*", kind.get(name)), f"{where}.{name}")
    return found
