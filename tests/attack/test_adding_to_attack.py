"""An attack, a task or a section of the report is added by one file: into a copy of the code, and nothing else."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]

PREPARE = """
import params
from attack.generation import generate
from pathlib import Path
import torch
from torchvision import models

torch.save(models.mobilenet_v3_small(weights=None).state_dict(), "weights.pth")
how = {"classifier": "mobilenet_v3_small", "weights": Path("weights.pth"), "eps": (5,), "steps": 1}
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the program's own files."""
    copy = tmp_path_factory.mktemp("code")
    for package in ("collect", "pairing", "train", "attack"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.py", copy)
    return copy


@pytest.fixture
def images(tmp_path: Path, photos: list[tuple[Image.Image, int]]) -> Path:
    rows = []
    for index in range(2):
        file = tmp_path / "images" / "test" / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        photos[index][0].resize((32, 32)).save(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        row = {"name": f"test/{file.name}", "split": "test", "source": "s", "label": None, "crop": None}
        rows.append(json.dumps(row | {"sha256": digest}) + "\n")
    (tmp_path / "images" / "manifest.jsonl").write_text("".join(rows))
    return tmp_path


def run(code: Path, folder: Path, program: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(code)}
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_a_new_attack_is_accepted_run_and_benched(code: Path, images: Path) -> None:
    (code / "attack/attacks/step_back.py").write_text(
        "from attack.attacks.base import Attack\n\n\n"
        "class StepBack(Attack):\n"
        "    def step(self, levels, direction, index):\n"
        "        return levels - self.step_size\n"
    )
    run(
        code,
        images,
        PREPARE
        + "made = generate(params.Attack(attacks=('step_back',), **how), Path('images'), [], Path('out'))\n"
        + "assert [(row.attack, row.max_change) for row in made] == [('step_back', 5)] * 2\n"
        + "from attack.bench.suites import every_attack\n"
        + "assert 'step_back' in every_attack('webp:50', paper=False, linf=True)\n",
    )


def test_a_new_task_is_accepted_and_aims_and_judges(code: Path, images: Path) -> None:
    (code / "attack/tasks/first_class.py").write_text(
        "import torch\n\nfrom attack.tasks.classify import Classify\n\n\n"
        "class FirstClass(Classify):\n"
        "    def aim(self, logits, goal):\n"
        "        return torch.zeros(len(logits), dtype=torch.int64)\n\n"
        "    def succeeded(self, answer, prediction, target):\n"
        "        return answer == 7\n"
    )
    run(
        code,
        images,
        PREPARE
        + "settings = params.Attack(task='first_class', attacks=('fgsm',), **how)\n"
        + "made = generate(settings, Path('images'), [], Path('out'))\n"
        + "assert [(row.task, row.target) for row in made] == [('first_class', 0)] * 2\n"
        + "from attack.evaluation.judge import Sent, WorkerInit\n"
        + "from attack.models import classifiers\n"
        + "net = classifiers.load('mobilenet_v3_small', Path('weights.pth'))\n"
        + "photo = (Path('images') / made[0].image).read_bytes()\n"
        + "(outcome,) = WorkerInit('sandbox', params.Pairing(), net)()([Sent(made[0], photo, photo, None)])\n"
        + "assert outcome.succeeds(7) and not outcome.succeeds(0)\n",
    )


def test_a_new_section_stands_in_the_page(code: Path, tmp_path: Path) -> None:
    (code / "attack/report/sections/motto.py").write_text(
        'PLACE = 15\nTEMPLATE = "<h2>{{ motto }}</h2>"\n\n\n'
        "def of_all(params, reports):\n"
        "    return {'motto': 'Nothing < everything'}\n"
    )
    blocks = (
        "scale: laptop\ncollect: {}\npairing: {}\ntrain: {}\nattack: {}\ndataset: {}\nevaluate: {confidence: 0.95}\n"
    )
    platforms = "platforms: {}\npaper: {dataset: {}, train: {}, attack: {}}\n"
    (tmp_path / "params.yaml").write_text(blocks + platforms)
    run(
        code,
        tmp_path,
        "import params\nfrom pathlib import Path\nfrom attack.report.page import write_page\n"
        "write_page(params.load(), Path('index.html'))\n"
        "assert '<h2>Nothing &lt; everything</h2>' in Path('index.html').read_text()\n",
    )
