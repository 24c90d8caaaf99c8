"""Native code built with sanitizers, which end it at the first fault: every environment in random play, CUDA kernels.

    python benchmarks/sanitize.py                       # address and undefined behaviour: a million steps
    python benchmarks/sanitize.py --sanitize thread     # two threads step each batch
    python benchmarks/sanitize.py --kernels             # every CUDA kernel, emulated on the CPU: address

It builds the extension once more, into build/sanitize-<name>, and plays in a process of its own that has the
sanitizer's runtime loaded first. Every map of skirmish is played with all optional features, jittered starts and states
that are saved and loaded in the middle; so are a generated map and the other native environments.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNTIMES = {"address,undefined": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}
OPTIONS = {
    "obs_last_action": True, "obs_pathing_grid": True, "obs_terrain_height": True, "obs_timestep_number": True,
    "state_timestep_number": True, "spawn_jitter": 0.5,
}  # fmt: skip
NUM_ENVS = 64


def build(sanitize: str) -> Path:
    """The extension with these sanitizers; what is up to date is not built again."""
    folder = ROOT / "build" / f"sanitize-{sanitize.replace(',', '-')}"
    flags = f"-DPOWQMIX_SANITIZE={sanitize} -DCMAKE_CXX_FLAGS_RELEASE='-O1 -g'"
    command = [sys.executable, "setup.py", "-q", "build_ext", f"--build-lib={folder}", f"--build-temp={folder}/temp"]
    environment = os.environ | {"POWQMIX_CUDA": "OFF", "POWQMIX_CMAKE_ARGS": flags}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder / "powqmix" / f"_C{sysconfig.get_config_var('EXT_SUFFIX')}"


def preload(sanitize: str) -> str:
    """Paths of the sanitizers' runtimes: Python itself is not linked with them."""
    compiler = os.environ.get("CXX", "c++")
    names = RUNTIMES[sanitize]
    paths = [subprocess.check_output([compiler, f"-print-file-name={name}"], text=True).strip() for name in names]
    if missing := [name for name, path in zip(names, paths) if not Path(path).is_absolute()]:
        raise SystemExit(f"{compiler} has no {', '.join(missing)}; install the sanitizers' runtimes of this compiler")
    return ":".join(paths)


def play(extension: Path, steps: int, num_threads: int) -> None:
    """In the process with the runtime: `steps` environment steps, spread over all environments alike."""
    import powqmix

    spec = importlib.util.spec_from_file_location("powqmix._C", extension)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["powqmix._C"] = module
    powqmix._C = module  # type: ignore[attr-defined]
    spec.loader.exec_module(module)

    from powqmix import envs
    from powqmix.envs import native
    from powqmix.envs.skirmish_maps import map_names

    assert native._C.__file__ == str(extension)
    games: list[tuple[str, dict[str, Any]]] = [(f"skirmish/{name}", OPTIONS) for name in map_names()]
    games += [("skirmish/10gen_terran_10v11", OPTIONS), ("skirmish/3m", {"mirror": True}), ("predator_prey", {})]
    games += [("matrix/powqmix", {})]
    batches = -(-steps // (len(games) * NUM_ENVS))
    started = time.perf_counter()
    for env_id, options in games:
        env: Any = envs.make(env_id, NUM_ENVS, seed=1, num_threads=num_threads, **options)
        env.reset()
        ended = 0
        for step in range(batches):
            env.step(env.random_actions(2, step))
            ended += int(env.terminated.sum()) + int(env.truncated.sum())
            if step % 100 == 99:
                env.set_state(0, env.get_state(1))
        print(f"{env_id}: {batches * NUM_ENVS} steps, {ended} episodes", flush=True)
    total = batches * NUM_ENVS * len(games)
    print(f"clean: {total} steps of {len(games)} environments, {time.perf_counter() - started:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sanitize", default="address,undefined", choices=sorted(RUNTIMES))
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--kernels", action="store_true", help="the CUDA kernels on emulated grids, no environments")
    parser.add_argument("--play", type=Path, help=argparse.SUPPRESS)  # the extension; set in the process that plays
    arguments = parser.parse_args()
    threads = 2 if arguments.sanitize == "thread" else 1
    if arguments.play is not None:
        play(arguments.play, arguments.steps, threads)
        return 0
    environment = os.environ | {
        "LD_PRELOAD": preload(arguments.sanitize),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python frees little at its end
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    if arguments.kernels:
        environment["POWQMIX_SANITIZE"] = "address"
        again = [sys.executable, "-m", "tests.ops.every_kernel", "--emulated"]
    else:
        again = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--play", str(build(arguments.sanitize))]
    return subprocess.run(again, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
