"""``biport info``: what is installed, what works here, and what a fault may hang on; nothing here fails."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

from biport.extras import EXTRAS, remedy
from biport.tables import text_table
from biport.version import __version__

ROOT = Path(__file__).parents[2]
PATIENCE = 120
"""Seconds that a process of its own has."""
OWN = ("numpy", "safetensors", "typer", "rich")
BESIDE = ("tf_keras", "protobuf", "h5py", "ml-dtypes", "onnxscript", "tokenizers", "tritonclient")
"""Packages that biport does not need, on which faults have hung."""
MODULES = {"onnxruntime-gpu": "onnxruntime", "protobuf": "google.protobuf"}
"""What a package is imported as, where that is not its name."""
VARIABLES = (
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "KERAS_BACKEND"),
    *("CUDA_VISIBLE_DEVICES", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "TF_USE_LEGACY_KERAS"),
    *("RAY_ADDRESS", "BIPORT_LOG"),
)
TASKS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("read .keras and .h5 files, bundles; inspect, layers", ()),
    ("live Keras models; --to keras; files with custom code", ("keras", "tensorflow")),
    ("PyTorch modules, folders of plain PyTorch; --to torch", ("torch",)),
    ("ONNX files written; export, --to onnx", ("onnx", "onnx-ir")),
    (
        "models that biport does not read: export --route tf2onnx",
        ("keras", "tensorflow", "onnx", "onnx-ir", "tf2onnx"),
    ),
    ("ONNX files run; run, check, translate, export.Session", ("onnxruntime",)),
    ("a corpus in Parquet; run --input corpus.parquet", ("onnxruntime", "pyarrow")),
    ("many machines; run --ray", ("onnxruntime", "pyarrow", "ray")),
    ("the service of the documentation", ("onnxruntime", "fastapi", "uvicorn")),
    ("pictures of training; curves", ("matplotlib",)),
    ("pages of reports; verify -o report.html, matrix", ("jinja2",)),
)
"""What people do, and the packages that it takes."""
IMPORTED = ("keras", "tensorflow", "torch", "onnx", "onnx_ir", "tf2onnx", "onnxruntime", "ray", "pyarrow")
"""What is tried where that is asked for."""


@dataclass
class Package:
    """One package.

    Args:
        name: as an index calls it.
        version: ``None`` where it is not installed.
        extras: of biport, that bring it.
        problem: what is wrong with it.
    """

    name: str
    version: str | None
    extras: list[str] = field(default_factory=list)
    problem: str | None = None

    @property
    def works(self) -> bool:
        """As far as is seen from outside."""
        return self.version is not None and self.problem is None


@dataclass
class Info:
    """What there is to say.

    Args:
        machine: by name.
        environment: the variables of `VARIABLES` that are set.
        packages: those of every extra, and some beside.
        providers: of onnxruntime, and whether each works.
        tasks: what can be done here, and what it would take.
        imports: what importing each package did, where that was asked for.
    """

    machine: dict[str, Any]
    environment: dict[str, str]
    packages: list[Package]
    providers: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    imports: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    @property
    def text(self) -> str:
        """For a terminal."""
        return "\n".join(_lines(self))


def gather(try_imports: bool = False, environment: Mapping[str, str] = os.environ) -> Info:
    """Look around.

    Args:
        try_imports: also import each framework, in a process of its own, which takes a while.
        environment: of the process, as it was started.
    """
    packages = _packages()
    providers = _providers(packages)
    imports = [_imported(name) for name in IMPORTED if _has_module(name)] if try_imports else []
    problems = {tried["module"]: tried["problem"] for tried in imports if not tried["works"]}
    for package in packages:
        if package.version is not None and package.problem is None:
            package.problem = problems.get(_module(package.name))
    variables = {name: environment[name] for name in VARIABLES if name in environment}
    return Info(_machine(), variables, packages, providers, _tasks(packages), imports)


def _packages() -> list[Package]:
    brought: dict[str, list[str]] = {name: [] for name in OWN}
    for extra, names in EXTRAS.items():
        for name in names:
            brought.setdefault(name.partition("[")[0], []).append(extra)
    brought |= {name: [] for name in BESIDE if _version(name) is not None}
    wanted = _wanted()
    packages = [_package(name, extras, wanted.get(name)) for name, extras in brought.items()]
    both = [one for one in packages if one.name in ("onnxruntime", "onnxruntime-gpu") and one.version]
    for one in both if len(both) > 1 else ():
        one.problem = "onnxruntime and onnxruntime-gpu overwrite each other's files: keep one"
    return packages


def _package(name: str, extras: list[str], wanted: str | None) -> Package:
    version = _version(name)
    package = Package(name, version, extras)
    if version is None:
        return package
    if not _has_module(_module(name)):
        package.problem = "is listed as installed, and its files are missing"
    elif wanted is not None and _numbers(version) < _numbers(wanted):
        package.problem = f"is older than {wanted}, which biport needs"
    return package


def _module(name: str) -> str:
    return MODULES.get(name, name.replace("-", "_"))


def _has_module(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except Exception:  # metadata may be damaged in any way
        return None


def _wanted() -> dict[str, str]:
    """The oldest version of each package, where biport itself is installed."""
    try:
        lines = metadata.requires("biport") or []
    except Exception:
        return {}
    matches = (re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*>=\s*([\d.]+)", line) for line in lines)
    return {match[1]: match[2] for match in matches if match is not None}


def _numbers(version: str) -> tuple[int, ...]:
    """To compare versions by.

    Example:
        >>> _numbers("2.10.0") > _numbers("2.9")
        True
    """
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def _providers(packages: Sequence[Package]) -> list[dict[str, Any]]:
    """Each provider, tried in a process that it may end."""
    if not any(one.name.startswith("onnxruntime") and one.version for one in packages):
        return []
    lines, problem = _child("-m", "export.runtime.probe")
    if not lines:
        return [{"provider": None, "works": False, "problem": f"onnxruntime cannot be imported: {problem}"}]
    left, results = list(lines[0]["providers"]), []
    while left:
        lines, problem = _child("-m", "export.runtime.probe", *left)
        results += lines[1:]
        left = left[len(lines[1:]) :]
        if left:
            results.append({"provider": left.pop(0), "works": False, "problem": problem, "seconds": None})
    return results


def _child(*arguments: str) -> tuple[list[dict[str, Any]], str]:
    """The objects that a process of Python prints, and how it ended."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-W", "ignore", *arguments]
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b""
        return _objects(out.decode(errors="replace") if isinstance(out, bytes) else out), _late()
    except OSError as error:
        return [], str(error)
    said = done.stderr.strip().splitlines()
    if done.returncode < 0:
        return _objects(done.stdout), f"ended the process with signal {-done.returncode}"
    return _objects(done.stdout), said[-1] if said else f"ended with exit code {done.returncode}"


def _late() -> str:
    return f"was not done in {PATIENCE} s"


def _objects(text: str) -> list[dict[str, Any]]:
    objects = []
    for line in text.splitlines():
        try:
            data = json.loads(line)
        except ValueError:
            continue
        if isinstance(data, dict):
            objects.append(data)
    return objects


IMPORT = """
import json, sys, time
start = time.perf_counter()
module = __import__({name!r})
print(json.dumps({{"works": True, "seconds": time.perf_counter() - start}}), flush=True)
"""


def _imported(name: str) -> dict[str, Any]:
    lines, problem = _child("-c", IMPORT.format(name=name))
    if lines:
        return {"module": name, "problem": None, **lines[-1]}
    return {"module": name, "works": False, "problem": problem, "seconds": None}


def _tasks(packages: Sequence[Package]) -> list[dict[str, Any]]:
    known = {package.name: package for package in packages}
    return [_task(known, task, names) for task, names in TASKS]


def _task(known: dict[str, Package], task: str, names: Sequence[str]) -> dict[str, Any]:
    missing = [name for name in names if not _any_works(known, name)]
    broken = [f"{name} {known[name].problem}" for name in missing if known[name].problem]
    extras = dict.fromkeys(known[name].extras[0] for name in missing if not known[name].problem)
    needs = [*broken, *(remedy(extra) for extra in extras)]
    return {"task": task, "works": not missing, "missing": missing, "needs": "; ".join(needs) or None}


def _any_works(known: dict[str, Package], name: str) -> bool:
    return known[name].works or (name == "onnxruntime" and known["onnxruntime-gpu"].works)


def _machine() -> dict[str, Any]:
    return {
        "biport": __version__,
        "from": str(ROOT),
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": _quietly(platform.platform),
        "processor": _quietly(platform.machine),
        "cores": os.cpu_count(),
        "cores_allowed": _quietly(lambda: len(os.sched_getaffinity(0))),
        "cores_limit": _quietly(_core_limit),
        "memory_bytes": _quietly(lambda: os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        "temporary": _temporary(),
        "gpus": _gpus(),
    }


def _quietly(ask: Callable[[], Any]) -> Any:
    """What a function gives, ``None`` where it fails: not every system knows everything."""
    try:
        return ask()
    except Exception:
        return None


def _core_limit() -> float | None:
    """What a container may use, in cores."""
    quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _temporary() -> dict[str, Any]:
    folder = _quietly(tempfile.gettempdir)
    if folder is None:
        return {"folder": None, "problem": "there is no folder for temporary files; set TMPDIR"}
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return {"folder": folder, "problem": f"cannot be written to: {error.strerror or error}"}
    return {"folder": folder, "problem": None, "free_bytes": _quietly(lambda: shutil.disk_usage(folder).free)}


def _gpus() -> dict[str, Any]:
    """What the driver of NVIDIA says."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return {"names": [], "problem": "nvidia-smi is not there: no driver of NVIDIA"}
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"names": [], "problem": f"nvidia-smi: {error}"}
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        return {"names": [], "problem": f"nvidia-smi: {said[0] if said else done.returncode}"}
    return {"names": done.stdout.strip().splitlines(), "problem": None}


def _lines(info: Info) -> Iterator[str]:
    machine = info.machine
    yield f"biport {machine['biport']}, in {machine['from']}"
    yield f"Python {machine['python']}, {machine['executable']}; {machine['system']}"
    yield from _of_machine(machine)
    yield "environment: " + (
        ", ".join(f"{name}={value}" for name, value in info.environment.items()) or "nothing that matters"
    )
    yield ""
    yield from text_table([["package", "version", "extra", ""], *map(_row, info.packages)])
    yield ""
    yield from _of_providers(info.providers)
    if info.imports:
        yield ""
        yield from text_table([["import", "seconds", ""], *map(_import_row, info.imports)])
    yield ""
    yield "what works here"
    for task in info.tasks:
        yield f"  {'yes' if task['works'] else 'no '}  {task['task']}"
        if task["needs"]:
            yield f"       {task['needs']}"


def _of_machine(machine: dict[str, Any]) -> Iterator[str]:
    limit = "" if machine["cores_limit"] is None else f", a limit of {machine['cores_limit']:g}"
    memory = machine["memory_bytes"]
    size = "" if memory is None else f"; {memory / 2**30:.1f} GiB of memory"
    yield f"cores: {machine['cores']}, of which this process may use {machine['cores_allowed']}{limit}{size}"
    temporary = machine["temporary"]
    free = temporary.get("free_bytes")
    state = temporary["problem"] or "can be written to" + (
        "" if free is None else f", {free / 2**30:.1f} GiB free"
    )
    yield f"temporary files: {temporary['folder']}: {state}"
    gpus = machine["gpus"]
    yield f"GPU: {'; '.join(gpus['names']) or gpus['problem'] or 'none'}"


def _row(package: Package) -> list[str]:
    state = package.problem or ""
    return [package.name, package.version or "not installed", ", ".join(package.extras), state]


def _of_providers(providers: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not providers:
        yield "onnxruntime is not installed: nothing runs ONNX files"
        return
    rows = [[one["provider"] or "", "works" if one["works"] else one["problem"]] for one in providers]
    yield from text_table([["provider of onnxruntime", ""], *rows])


def _import_row(tried: dict[str, Any]) -> list[str]:
    seconds = "" if tried["seconds"] is None else f"{tried['seconds']:.1f}"
    return [tried["module"], seconds, tried["problem"] or ""]
