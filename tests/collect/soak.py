"""People who start a collector again whenever it stops, or is killed, and a judge of what has come of it."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import environ
from pathlib import Path

import numpy as np
import requests
from PIL import Image
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import DBAPIError

from collect.ledger.models import Collector, Upload
from collect.ledger.transactions import open_ledger
from collect.round_trip import Original, read_round_trips

ROOT = Path(__file__).parents[2]
FAULTS = {"all": 0.05}
LOOK = 0.05  # seconds between two looks at the collectors
STUCK = 300.0  # seconds without any progress or stop, after which a collector hangs
MOST_STOPS = 400
SIDE = 32  # pixels at which pictures are compared


@dataclass
class Person:
    """Somebody with a working folder who runs `collect` in it until all is there; counts what that took."""

    folder: Path
    command: list[str]
    count: int  # images
    name: str = "one"
    process: subprocess.Popen[bytes] | None = None
    done: bool = False
    starts: int = 0
    stops: Counter[str] = field(default_factory=Counter)  # runs that ended early, by what they said
    hands: set[int] = field(default_factory=set)  # uploads that were seen in these hands

    def look(self) -> bool:
        """Start a collector where none runs; tell whether something has changed."""
        said, answered = self.folder / f"{self.name}.stderr", self.folder / f"{self.name}.stdout"
        if self.done or (self.process and self.process.poll() is None):
            return False
        if self.process:
            code, error = self.process.returncode, said.read_text()
            assert "Traceback" not in error, error
            if code == 0:
                self.done = f"{self.count} of {self.count} images" in answered.read_text()
                self.stops["not complete yet"] += not self.done
            elif code == -signal.SIGKILL:
                self.stops["killed"] += 1
            else:
                assert code == 1 and "Error: " in error, (code, error)
                self.stops[error.rpartition("Error: ")[2][:100].replace("\n", " ")] += 1
            self.process = None
        if not self.done:
            self.starts += 1
            assert self.starts < MOST_STOPS, self.stops
            environment = environ | {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(self.folder / "state")}
            with said.open("wb") as stderr, answered.open("wb") as stdout:
                self.process = subprocess.Popen(
                    self.command, cwd=self.folder, env=environment, stdout=stdout, stderr=stderr
                )
        return True


def settle_in(folder: Path, originals: Sequence[Original], ledger: str) -> None:
    """Make a working folder with prepared images and settings."""
    images = folder / "data" / "images"
    images.mkdir(parents=True)
    (images / "train").symlink_to(originals[0].path.parent)
    with (images / "manifest.jsonl").open("w") as manifest:
        for each in originals:
            row = {"name": each.name, "split": "train", "source": "x", "label": None, "crop": None}
            manifest.write(json.dumps(row | {"sha256": each.sha256}) + "\n")
    settings = (ROOT / "params.yaml").read_text()
    assert settings.count("sqlite:///data/ledger/ledger.db") == 1
    (folder / "params.yaml").write_text(settings.replace("sqlite:///data/ledger/ledger.db", json.dumps(ledger)))
    (folder / "fingerprints").symlink_to(ROOT / "fingerprints")


def command(site: str, origin: str) -> list[str]:
    return [sys.executable, "-m", "collect", "--platform", site, "--origin", origin]


def soak(people: Sequence[Person], ledger: str, *, kills: int = 0, batch: int = 30, seed: int = 0) -> float:
    """Let everybody collect until all is there; kill the first one's collectors at random moments; return seconds.

    A moment is a count of steps done, of two an image, and up to half a second more; each comes before the last
    `batch` of images, which may go so fast that there is nobody left to kill.
    """
    chance = random.Random(seed)
    moments = sorted(chance.randrange(2 * (people[0].count - batch)) for _ in range(kills))
    engine = create_engine(ledger.replace("postgresql:", "postgresql+psycopg:"))
    start = changed = time.monotonic()
    last = 0
    try:
        while not all(person.done for person in people):
            changes = [person.look() for person in people]
            if any(changes):
                changed = time.monotonic()
            steps, hands = _seen(engine)
            for person in people:
                person.hands |= hands[person.process.pid] if person.process else set()
            first = people[0].process
            if moments and first and first.pid in hands and steps >= moments[0]:
                time.sleep(chance.uniform(0, 0.5))
                first.kill()
                if first.wait() == -signal.SIGKILL:  # else it was quicker
                    moments.pop(0)
            if steps != last:
                last, changed = steps, time.monotonic()
            assert time.monotonic() - changed < STUCK, [person.stops for person in people]
            time.sleep(LOOK)
        assert not moments, f"{len(moments)} kills came to nothing"
        assert sum(person.stops["killed"] for person in people) == kills
        return time.monotonic() - start
    finally:
        engine.dispose()
        for person in people:
            if person.process:
                person.process.kill()
                person.process.wait()


def _seen(engine: Engine) -> tuple[int, dict[int, set[int]]]:
    """Count the steps done, and list the uploads that each living process has in hand, by its number."""
    steps, hands = 0, defaultdict[int, set[int]](set)
    try:
        with engine.connect() as connection:
            for (pid,) in connection.execute(select(Collector.pid)):
                hands[pid] = set()
            query = select(Upload.id, Upload.state, Upload.remote_id, Collector.pid)
            for row in connection.execute(query.outerjoin(Collector, Upload.collector == Collector.id)):
                steps += 2 if row.state == "verified" else row.remote_id is not None
                if row.pid is not None and row.state != "verified":
                    hands[row.pid].add(row.id)
    except DBAPIError:  # not made yet, or busy
        pass
    return steps, hands


@dataclass(frozen=True)
class Verdict:
    """What is there in the end, counts of images."""

    verified: int  # by the ledger, and exported
    duplicates: int  # by the sandbox's own count
    wrong: int  # exported files that are not what the site made of their own original
    watermarked: int


def judge(folder: Path, site: str, origin: str, state: Path, ledger: str, originals: Sequence[Original]) -> Verdict:
    """Compare the ledger, the export of a folder, and what the sandbox says and keeps in its folder `state`."""
    with open_ledger(ledger) as engine, engine.connect() as connection:
        states = dict(connection.execute(select(Upload.sha256, Upload.state)).all())
    assert set(states) == {each.sha256 for each in originals}
    images = {each["sha256"]: each for each in requests.get(f"{origin}/sandbox/received").json()["images"]}
    assert set(images) == set(states)
    rows = read_round_trips(folder / "data" / "round_trips" / site)
    names = [each.name for each in originals]
    looks = np.stack([_look(each.path) for each in originals])
    verified, wrong = 0, 0
    for row in rows:
        file = folder / "data" / "round_trips" / site / row.file
        nearest = names[int(np.abs(looks - _look(file)).mean(axis=(1, 2, 3)).argmin())]
        keys = [photo["id"] for photo in images[row.source_sha256]["photos"]]
        served = [each for key in keys for each in (state / "renditions").glob(f"*-{key}.*")]
        wrong += nearest != row.source or file.read_bytes() not in [each.read_bytes() for each in served]
        verified += states[row.source_sha256] == "verified"
    return Verdict(
        verified=verified,
        duplicates=sum(image["times"] - 1 for image in images.values()),
        wrong=wrong,
        watermarked=sum(photo["watermarked"] for image in images.values() for photo in image["photos"]),
    )


def _look(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
