"""What `cargo xtask fuzz-api` has schemathesis do beyond the OpenAPI document: requests name rows that are there, files are
photos, masks and archives as well as noise, and every request comes from another address.

The environment says where the server is and what may be touched; tests/examples/fuzz_api sets it.
"""

import io
import json
import os
import pathlib
import random
import time
import urllib.parse
import urllib.request
import uuid
import zipfile

import schemathesis
from hypothesis import strategies as st

SERVER = os.environ["MUDI_FUZZ_SERVER"]
# The cookie of the owner, by whom rows are looked up, and that of whoever is being played.
OWNER = os.environ["MUDI_FUZZ_OWNER"]
CALLER = os.environ["MUDI_FUZZ_CALLER"]
# Projects by id: the one that most requests are about, and one that must stay as it is.
PROJECT = os.environ["MUDI_FUZZ_PROJECT"]
UNTOUCHED = os.environ["MUDI_FUZZ_UNTOUCHED"]
# Requests may name the untouched project where whoever is played has no access to it.
TEMPTED = CALLER != ""
FILES = pathlib.Path(os.environ["MUDI_FUZZ_FILES"])

# How often a request names a row that is there, where it may.
REAL = 0.9
# So many rows of a kind are left alone, so that there is something to ask for until the end.
KEPT = 3
OVER = {"done", "failed", "cancelled"}


class Rows:
    """The rows of a project as its lists have them, read again after a moment."""

    def __init__(self):
        self.known = {}

    def __call__(self, path):
        at, value = self.known.get(path, (0, None))
        if time.monotonic() - at > 2:
            request = urllib.request.Request(SERVER + path, headers={"Cookie": OWNER})
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    value = json.load(answer)
            except OSError:
                value = {}
            self.known[path] = (time.monotonic(), value)
        return value

    def items(self, project, kind):
        # These two come whole.
        part = "" if kind in ("subjects", "links") else "?limit=500"
        return self(f"/api/projects/{project}/{kind}{part}").get("items", [])


rows = Rows()


def project_for(case, chance):
    """The project that a request is about; never the untouched one where the caller could change it."""
    others = [row["id"] for row in rows("/api/projects?limit=500").get("items", [])]
    others = [one for one in others if one not in (PROJECT, UNTOUCHED)]
    if case.method.upper() == "DELETE" and case.path == "/api/projects/{project}":
        # From the newest on: copies and imports with everything in them are among them.
        return others[-1] if len(others) > KEPT else None
    if TEMPTED and chance.random() < 0.2:
        return UNTOUCHED
    return chance.choice(others) if others and chance.random() < 0.1 else PROJECT


def is_kept(case):
    """Whether the request would be about a project that is to stay: schemathesis knows ids from answers, too."""
    try:
        project = str(uuid.UUID(str(case.path_parameters.get("project"))))
    except ValueError:
        return False
    deleted = case.method.upper() == "DELETE" and case.path == "/api/projects/{project}"
    return (project == PROJECT and deleted) or (project == UNTOUCHED and not TEMPTED)


def row_for(case, project, name, chance):
    """The value of the path's parameter `name`: that of a row, if there is one."""
    run = lambda: case.path_parameters.get("run")
    if name == "step":
        if case.path.endswith("/seen/{step}"):
            return rows(f"/api/projects/{project}/runs/{run()}/seen").get("step")
        found = rows(f"/api/projects/{project}/runs/{run()}/samples").get("items", [])
        return chance.choice(found)["step"] if found else None
    if name == "sha256":
        found = rows(f"/api/projects/{project}/preview").get("files", [])
        return chance.choice(found)["sha256"] if found else None
    found = rows.items(project, name + "s")
    if case.path.endswith("/events"):
        # The stream of a job that is not over ends with the job; nobody waits for that here.
        found = [job for job in found if job["state"] in OVER]
    if name == "run" and chance.random() < 0.7:
        found = [run for run in found if run["state"] == "done"]
        if case.path.endswith("/{step}"):
            # The first one has samples.
            found = found[:1]
    if case.method.upper() == "DELETE" and not case.path.endswith("/mask"):
        found = found[KEPT:]
    return chance.choice(found)["id"] if found else None


def fill(value, project, chance):
    """Values of a body's fields that name something."""
    if isinstance(value, list):
        for item in value:
            fill(item, project, chance)
    if not isinstance(value, dict):
        return
    for name, old in list(value.items()):
        fill(old, project, chance)
        if chance.random() > REAL:
            continue
        if name == "base" and isinstance(old, str):
            value[name] = "sdxl-tiny"
        elif name in ("photos", "images") and isinstance(old, list):
            found = [row["id"] for row in rows.items(project, name)]
            value[name] = chance.sample(found, min(len(found), max(len(old), 1)))
        elif name == "subject" and isinstance(old, str):
            found = [row["id"] for row in rows.items(project, "subjects")]
            value[name] = chance.choice(found) if found else old
        elif name == "sampler" and isinstance(old, str):
            value[name] = chance.choice(["ddim", "euler", "euler-ancestral", "dpmpp-2m"])
        elif name in ("steps", "count", "batch", "accumulation") and isinstance(old, int) and old > 4:
            # Jobs come to their end, so that there are runs and images of all kinds.
            value[name] = chance.randint(1, 4)
        elif name == "version" and isinstance(old, int):
            value[name] = 1
        elif name in ("x", "y", "width", "height") and isinstance(old, (int, float)):
            # Within the photo or the canvas, whichever it is.
            value[name] = chance.uniform(0.05, 0.95)
        elif name == "photo" and isinstance(old, int):
            value[name] = chance.randint(0, 2)
        elif name == "bounds" and isinstance(old, list):
            low, high = [10 * chance.random(), 10 * chance.random()], [20 + 200 * chance.random() for _ in range(2)]
            value[name] = low + high


def versions(case, project, chance):
    """`If-Match` and the like, as somebody has them who has read what is to be changed."""
    named = case.path_parameters
    if case.path.endswith("/mask") and case.method.upper() in ("PUT", "DELETE"):
        photo = next((row for row in rows.items(project, "photos") if row["id"] == named.get("photo")), {})
        if photo.get("mask"):
            case.headers["If-Match"] = f'"{photo["mask"]}"'
            case.headers.pop("If-None-Match", None)
        else:
            case.headers["If-None-Match"] = "*"
    elif "If-Match" in case.headers and chance.random() < 0.7:
        case.headers["If-Match"] = f'"{chance.randint(1, 3)}"'
    if "Range" in case.headers and chance.random() < 0.7:
        first, last = sorted((chance.randint(0, 2000), chance.randint(0, 2000)))
        case.headers["Range"] = chance.choice([f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"])


@schemathesis.hook
def before_call(context, case, kwargs):
    chance = random.Random(case.id)
    meta = case.meta
    negative = {location.name for location, part in meta.components.items() if part.mode.is_negative} if meta else set()
    project = PROJECT
    if "PATH_PARAMETERS" not in negative and "PATH" not in negative and "{project}" in case.path:
        project = project_for(case, chance) or PROJECT
        # A request to delete where nothing may be deleted keeps the id that nothing has.
        if case.method.upper() != "DELETE" or case.path != "/api/projects/{project}" or project != PROJECT:
            case.path_parameters["project"] = project
        for name in [part[1:-1] for part in case.path.split("/") if part.startswith("{")][1:]:
            value = row_for(case, project, name, chance) if chance.random() < REAL else None
            if value is not None:
                case.path_parameters[name] = urllib.parse.quote(value) if isinstance(value, str) else value
    if "HEADER" not in negative and "HEADERS" not in negative and chance.random() < REAL:
        versions(case, project, chance)
    if "BODY" not in negative and isinstance(case.body, dict):
        fill(case.body, project, chance)
        done = [run["id"] for run in rows.items(project, "runs") if run["state"] == "done"]
        if case.path.endswith("/images") and done and chance.random() < REAL:
            # Of a run or of a base, not of both.
            case.body["run"] = chance.choice(done)
            case.body.pop("base", None)
    if "QUERY" not in negative and case.query:
        for name, kind in (("subject", "subjects"), ("job", "jobs")):
            found = rows.items(project, kind) if name in case.query else []
            if found and chance.random() < REAL:
                case.query[name] = chance.choice(found)["id"]
    if is_kept(case):
        case.path_parameters["project"] = str(uuid.uuid4())
    if CALLER:
        case.headers["X-Forwarded-For"] = ".".join(str(chance.randint(1, 254)) for _ in range(4))
        if case.path != "/api/session":
            # Signing out would end the part that is played.
            case.headers["Cookie"] = CALLER


def read(kind):
    return st.sampled_from([path.read_bytes() for path in sorted((FILES / kind).iterdir())])


@st.composite
def damaged(draw, whole):
    """A file with a few other bytes."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 8))):
        # Headers are where decoders make their decisions.
        end = draw(st.sampled_from([min(64, len(data)), len(data)]))
        data[draw(st.integers(0, end - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@st.composite
def cut(draw, whole):
    """The beginning of a file."""
    data = draw(whole)
    return data[: draw(st.integers(0, len(data)))]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**63), 2**64), st.floats(allow_nan=False), st.text(max_size=20),
    st.sampled_from(["..", "/", "a", "", "done", "running", "queued", [], {}]),
)


def leaves(value, found):
    """Every place in JSON: what it is in, and where."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        found.append((value, key))
        if isinstance(item, (dict, list)):
            leaves(item, found)
    return found


@st.composite
def rewritten(draw, whole):
    """An archive whose text says something else in a few places, packed as it should be."""
    with zipfile.ZipFile(io.BytesIO(draw(whole))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in parts if name in ("project.json", "metadata.jsonl"))
    lines = [json.loads(line) for line in (parts[name].splitlines() if name.endswith("l") else [parts[name]]) if line]
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(leaves(lines, [])))
        if draw(st.booleans()) and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = draw(VALUES)
    parts[name] = "\n".join(json.dumps(line) for line in lines).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return packed.getvalue()


def files(whole, *further):
    """Bytes of such files: whole, with damage, and noise."""
    return st.one_of(whole, damaged(whole), cut(whole), st.binary(max_size=200), *further)


PICTURES = st.one_of(read("photos"), read("masks"))
schemathesis.openapi.media_type("application/octet-stream", files(PICTURES))
schemathesis.openapi.media_type("image/png", files(PICTURES))
schemathesis.openapi.media_type("application/zip", files(read("archives"), rewritten(read("archives"))))
