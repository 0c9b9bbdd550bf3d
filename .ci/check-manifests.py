"""Parses what deploy/ has for Kubernetes and compose, and checks that whatever a manifest names is there.

Not whether a cluster takes it: that needs one. Command lines, ports and times to stop are compared with
the program by its own tests.
"""

import json
import pathlib
import sys

import yaml

DEPLOY = pathlib.Path(__file__).parent.parent / "deploy"
faults = []


def demand(holds, what):
    if not holds:
        faults.append(what)


def named(items):
    return {item["name"]: item for item in items}


def check_container(where, pod, container):
    """Restricted, probed, and mounting only what there is."""
    own, shared = container.get("securityContext", {}), pod.get("securityContext", {})
    demand(own.get("allowPrivilegeEscalation") is False, f"{where} may gain privileges")
    demand(own.get("readOnlyRootFilesystem") is True, f"{where} can write to its root")
    demand(own.get("capabilities", {}).get("drop") == ["ALL"], f"{where} keeps capabilities")
    demand(shared.get("runAsNonRoot") is True and shared.get("runAsUser", 0) > 0, f"{where} may be root")
    demand(shared.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{where} has no seccomp profile")
    demand("memory" in container.get("resources", {}).get("limits", {}), f"{where} has no limit of memory")
    ports = named(container.get("ports", []))
    for probe, path in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]:
        asked = container.get(probe, {}).get("httpGet", {})
        demand(asked.get("path") == path and asked.get("port") in ports, f"{where}: {probe}")
    for mount in container.get("volumeMounts", []):
        demand(mount["name"] in named(pod.get("volumes", [])), f"{where} mounts {mount['name']}")


def check_workload(document, objects, config_maps):
    kind, name = document["kind"], document["metadata"]["name"]
    where, spec = f"{kind} {name}", document["spec"]
    labels, pod = spec["template"]["metadata"]["labels"], spec["template"]["spec"]
    demand(spec["selector"]["matchLabels"].items() <= labels.items(), f"{where} does not select its pods")
    demand(pod.get("automountServiceAccountToken") is False, f"{where} has a token that it does not need")
    for container in pod["containers"]:
        check_container(f"{where}, container {container['name']}", pod, container)
    for volume in pod.get("volumes", []):
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        demand(claim is None or ("PersistentVolumeClaim", claim) in objects, f"{where}: no claim {claim}")
        config = volume.get("configMap", {}).get("name")
        demand(config is None or config in config_maps, f"{where}: no config map {config}")
    demand(kind != "StatefulSet" or ("Service", spec["serviceName"]) in objects, f"{where} has no service")
    for needed, selector in [("Service", lambda it: it["selector"]), ("PodDisruptionBudget", lambda it: it["selector"]["matchLabels"])]:
        found = objects.get((needed, name))
        demand(found and selector(found["spec"]).items() <= labels.items(), f"{where} has no {needed}")


def check_kubernetes(folder):
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    maps = kustomization.get("configMapGenerator", [])
    for file in [file for config in maps for file in config["files"]]:
        demand((folder / file).is_file(), f"{folder}/{file} is not there")
    objects = {}
    for resource in kustomization["resources"]:
        for document in yaml.safe_load_all((folder / resource).read_text()):
            demand(document.get("apiVersion"), f"{resource}: no apiVersion")
            objects[document["kind"], document["metadata"]["name"]] = document
    workloads = [it for (kind, _), it in objects.items() if kind in ("StatefulSet", "Deployment")]
    demand(len(workloads) == 2, f"{len(workloads)} workloads")
    for document in workloads:
        check_workload(document, objects, named(maps))


def check_compose(file):
    compose = yaml.safe_load(file.read_text())
    services = compose["services"]
    for name, service in services.items():
        for other in service.get("depends_on", {}):
            demand(other in services, f"{name} waits for {other}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = (file.parent / source).exists() if source.startswith(".") else source in compose["volumes"]
            demand(known, f"{name} mounts {source}")
        for port in service.get("ports", []):
            demand(port.startswith("127.0.0.1:"), f"{name} can be reached from other machines: {port}")
        if service.get("image") == "floodgate":
            demand(service.get("read_only") and service.get("cap_drop") == ["ALL"], f"{name} is not restricted")
    demand({"kafka", "settle-a", "settle-b", "board", "prometheus", "grafana"} <= services.keys(), "compose lacks a service")


def main():
    check_kubernetes(DEPLOY / "kubernetes" / "base")
    check_compose(DEPLOY / "compose" / "compose.yaml")
    parsed = 0
    for file in [*DEPLOY.rglob("*.yml"), *DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.json")]:
        text = file.read_text()
        list(yaml.safe_load_all(text)) if file.suffix != ".json" else json.loads(text)
        parsed += 1
    print(f"{parsed} manifests and dashboards parsed")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
