"""Prints the bill of materials of a release as CycloneDX 1.6 JSON: every crate that is built into the program, from
Cargo.lock and the features of a release. One argument: the target."""

import json
import subprocess
import sys


def metadata(target: str) -> dict:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--features", "full", "--filter-platform", target]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def built_in(data: dict) -> dict[str, list[str]]:
    """Each package that the program is built from, with those it is built from in turn; no package for tests alone."""
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    found: dict[str, list[str]] = {}
    waiting = [data["resolve"]["root"]]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        kinds = lambda dep: [kind["kind"] for kind in dep["dep_kinds"]]
        found[package] = sorted(dep["pkg"] for dep in nodes[package]["deps"] if kinds(dep) != ["dev"])
        waiting.extend(found[package])
    return found


def main() -> None:
    data = metadata(sys.argv[1])
    packages = {package["id"]: package for package in data["packages"]}
    checksums = {}
    with open("Cargo.lock", encoding="utf-8") as lock:
        for entry in lock.read().split("[[package]]")[1:]:
            fields = dict(line.split(" = ", 1) for line in entry.splitlines() if " = " in line)
            if "checksum" in fields:
                key = (json.loads(fields["name"]), json.loads(fields["version"]))
                checksums[key] = json.loads(fields["checksum"])

    def purl(package: str) -> str:
        return f"pkg:cargo/{packages[package]['name']}@{packages[package]['version']}"

    def component(package: str, kind: str) -> dict:
        name, version = packages[package]["name"], packages[package]["version"]
        entry = {"type": kind, "bom-ref": purl(package), "name": name, "version": version, "purl": purl(package)}
        if packages[package]["license"]:
            # Some crates still write `/` where the standard has `OR`.
            entry["licenses"] = [{"expression": packages[package]["license"].replace("/", " OR ").replace("  ", " ")}]
        if (name, version) in checksums:
            entry["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
        return entry

    tree = built_in(data)
    root = data["resolve"]["root"]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(root, "application")},
        "components": [component(package, "library") for package in sorted(tree, key=purl) if package != root],
        "dependencies": [
            {"ref": purl(package), "dependsOn": [purl(dep) for dep in tree[package]]} for package in sorted(tree, key=purl)
        ],
    }
    json.dump(bill, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
