"""The same as ``fuzzing.py``, led to what has not been reached yet by atheris, which it takes.

``python tests/fuzzing_guided.py FOLDER SECONDS``: what has reached something new stays in FOLDER's
``reached`` for the next time. It ends early with the file that something has come of in FOLDER.
"""

import importlib.util
import random
import sys
from pathlib import Path

import atheris

#: What reads the files. Numba can compile nothing that was instrumented.
READERS = ("charrnn.config", "charrnn.storage", "charrnn.text", "charrnn.inference.compression")


def _other_modules():
    (root,) = importlib.util.find_spec("charrnn").submodule_search_locations
    for path in Path(root).rglob("*.py"):
        parts = path.relative_to(Path(root).parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if not name.startswith(READERS):
            yield name


with atheris.instrument_imports(include=["charrnn"], exclude=list(_other_modules())):
    import fuzzing
    from mutations import altered

    from charrnn.inference import compression


def _alter(data, most, seed):
    """By the structure where there still is one, else by what atheris takes for promising."""
    rng = random.Random(seed)
    try:
        if rng.random() < 0.6:
            return altered(data, rng)[:most]
    except Exception:  # there is none
        pass
    return atheris.Mutate(data, most)


def main():
    folder = Path(sys.argv[1])
    reached, case = folder / "reached", folder / "case"
    reached.mkdir(parents=True, exist_ok=True)
    files = fuzzing.sound_files(folder)
    for path, read in files.items():
        read(path)
        (reached / path.name).write_bytes(path.read_bytes())
    read_code = files[folder / f"{fuzzing.CODES[0][0]}.rnn"]

    def read(data):
        case.write_bytes(data)
        is_code = data.startswith(compression._MAGIC)
        readers = [read_code] if is_code else [fuzzing.read_model, fuzzing.read_resume]
        for reader in readers:
            fuzzing.outcome(reader, case)

    largest = max(path.stat().st_size for path in files)
    options = {"max_total_time": sys.argv[2], "max_len": 2 * largest, "timeout": 60,
               "artifact_prefix": f"{folder}/"}  # fmt: skip
    told = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *told, str(reached)], read, custom_mutator=_alter)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
