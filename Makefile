# make repro   set everything up and run the pipeline        make check   ruff and mypy
# make test    set everything up and run the tests           make bench   speed and strength, side by side
# make setup   .venv, the package with its extras, a browser   make soak   300 images a site under all faults; hours
# make stacks  identify the chains of real software and of real sites' files, one table: reports/stacks.md
# make test-lowest   a part of the tests, with the lowest versions that pyproject.toml allows, in a venv of their own
#
# soak and parts of bench need ILSVRC-2012's validation photos, a folder a class: COMREADV_ILSVRC=/path/val make soak.
# Without them they are skipped. stacks needs folders of pairs: COMREADV_STACKS="/path/pairs /path/evidence" make stacks.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test test-lowest check bench soak stacks setup

repro: setup
	comreadv params
	-dvc repro evaluate@weibo && comreadv results  # a first table, long before the last
	dvc repro && comreadv results

test: setup
	python -m pytest --numprocesses 5 --dist loadscope --no-loadscope-reorder

# what works each dependency, quickly
LOWEST_TESTS := $(addprefix tests/, test_commands.py test_params.py test_pipeline.py \
	collect/browser/test_session.py collect/codecs/test_chain.py collect/dataset/test_prepare.py \
	collect/dataset/test_ilsvrc.py collect/ledger/test_transactions.py collect/ledger/test_workers.py \
	collect/round_trip/test_mosaic.py collect/sandbox/test_sandbox.py collect/test_images.py \
	pairing/test_pairing.py train/cluster/test_executor.py train/layers/test_encoder.py train/layers/test_jpeg.py \
	train/models/test_checkpoint.py train/training/test_fit.py \
	attack/attacks/test_attacks.py attack/bench/test_peers.py attack/evaluation/test_evaluate.py \
	attack/models/test_classifiers.py attack/report/test_report.py)

test-lowest: $(LOWEST)/.ready
	$(LOWEST)/bin/python -m pytest -m 'not slow' --numprocesses 2 --dist loadscope --no-loadscope-reorder $(LOWEST_TESTS)

check: setup
	ruff check .
	ruff format --check .
	mypy

bench: setup
	python -m pytest -rs tests/benchmarks --override-ini addopts= --ignore tests/benchmarks/test_collect_soak.py

soak: setup
	python -m pytest -s -rs tests/benchmarks/test_collect_soak.py --override-ini addopts=

stacks: setup
	@test -n "$(COMREADV_STACKS)" || echo "Skipped: COMREADV_STACKS names no folders of pairs."
	test -z "$(COMREADV_STACKS)" || python -m train.bench.stacks $(COMREADV_STACKS) --out reports/stacks.md

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ...")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo "No venv: apt-get install python3-venv, then make again."; exit 1; }
	python -m pip install --quiet --editable '.[sample,bench,postgresql,wagtail,cluster,stacks,dev]'
	# without its pin requests~=2.25.1, which would drag everything else back; attack/peers.py compares with it
	python -m pip install --quiet --no-deps torchattacks==3.5.1
	python -m collect.browser
	touch $@

# wheels alone, for what is that old can't be built by every compiler of today; of one package there is none
$(LOWEST)/.ready: pyproject.toml
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
		--only-binary :all: --no-binary antlr4-python3-runtime \
		--editable '.[sample,bench,postgresql,wagtail,cluster,stacks,dev]'
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps torchattacks==3.5.1
	$(LOWEST)/bin/python -m collect.browser
	touch $@
