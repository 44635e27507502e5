"""Checks what deploy/ gives to Compose and to Kubernetes; says on standard error what is wrong.

    check.py compose SCHEMA FILE         by the schema of the Compose specification
    check.py kubernetes VERSION FILE…    by the schemas of that version of Kubernetes, all files together

Both also want every name that is used to be given: services, secrets, volumes, ports, labels.
"""

import json
import sys

import jsonschema
import kubernetes_validate
import yaml


class Loader(yaml.SafeLoader):
    """Refuses a key that is written twice, of which YAML would take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{twice} twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def documents(path):
    with open(path, encoding="utf-8") as file:
        return list(yaml.load_all(file, Loader))


def compose(schema, path):
    with open(schema, encoding="utf-8") as file:
        validator = jsonschema.Draft201909Validator(json.load(file))
    [project] = documents(path)
    for error in validator.iter_errors(project):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
    services = project.get("services", {})
    for name, service in services.items():
        used = [("services", other) for other in service.get("depends_on", ())]
        used += [("secrets", it if isinstance(it, str) else it["source"]) for it in service.get("secrets", ())]
        used += [("configs", it if isinstance(it, str) else it["source"]) for it in service.get("configs", ())]
        # Volumes that begin otherwise are folders of the machine.
        volumes = [it.split(":")[0] for it in service.get("volumes", ())]
        used += [("volumes", it) for it in volumes if not it.startswith((".", "/", "~"))]
        for kind, other in used:
            if other not in project.get(kind, {}):
                yield f"services.{name}: `{other}` is not among {kind}"


def kubernetes(version, *paths):
    things = [thing for path in paths for thing in documents(path) if thing]
    for thing in things:
        name = f"{thing['kind']} {thing['metadata']['name']}"
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name}: {'.'.join(map(str, error.path))}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError:
            yield f"{name}: Kubernetes {version} has no {thing['apiVersion']} of that kind"
    pods = [thing["spec"]["template"] for thing in things if "template" in thing.get("spec", {})]
    for thing in things:
        for problem in [*unselected(thing, pods), *unnamed(thing, things)]:
            yield f"{thing['kind']} {thing['metadata']['name']}: {problem}"


def unselected(thing, pods):
    """Labels that no pod has."""
    spec = thing.get("spec", {})
    selector = spec.get("selector") or spec.get("podSelector") or {}
    wanted = selector.get("matchLabels", selector)
    if wanted and not any(wanted.items() <= pod["metadata"]["labels"].items() for pod in pods):
        yield f"no pod has the labels {wanted}"


def unnamed(thing, things):
    """Config maps, secrets, volumes and ports that are named, and not there."""
    if "template" not in thing.get("spec", {}):
        return
    spec = thing["spec"]["template"]["spec"]
    there = {(it["kind"], it["metadata"]["name"]): it for it in things}
    claims = [it["metadata"]["name"] for it in thing["spec"].get("volumeClaimTemplates", ())]
    volumes = {it["name"]: it for it in spec.get("volumes", ())}
    for volume in volumes.values():
        for kind, key, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if key not in volume:
                continue
            source = there.get((kind, volume[key][name]))
            if source is None:
                yield f"there is no {kind} {volume[key][name]}"
                continue
            data = {**source.get("data", {}), **source.get("stringData", {})}
            yield from (f"{kind} has no {it['key']}" for it in volume[key].get("items", ()) if it["key"] not in data)
    if thing["kind"] == "StatefulSet" and ("Service", thing["spec"]["serviceName"]) not in there:
        yield f"there is no Service {thing['spec']['serviceName']}"
    for container in spec["containers"]:
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in volumes and mount["name"] not in claims:
                yield f"there is no volume {mount['name']}"
        ports = {port["name"] for port in container.get("ports", ())}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if isinstance(port, str) and port not in ports:
                yield f"{probe}: there is no port {port}"


def main():
    checks = {"compose": compose, "kubernetes": kubernetes}
    try:
        problems = list(checks[sys.argv[1]](*sys.argv[2:]))
    except yaml.YAMLError as error:
        problems = [str(error)]
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
