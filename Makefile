# The commands of this project, a thin face of `python -m grader`. `make` alone lists them.
# scripts/setup makes .venv before the first of them, and again when requirements.txt or packages.apt change.

.DEFAULT_GOAL := help
.PHONY: help grade batch regrade watch hint history check doctor test attacks fuzz setup clean which-lab
GRADER := .venv/bin/python -m grader
# The labs that `make batch` was asked for, before LABS becomes the list of all of them.
export LABS_ASKED := $(value LABS)
override LABS := $(notdir $(patsubst %/lab.yaml,%,$(wildcard labs/*/lab.yaml)))

# Values reach the commands through the environment, as they were typed: spaces, quotes and $ are plain characters.
define as_typed
override export $(1) := $$(value $(1))
endef
$(foreach name,LAB SUBMISSION SUBMISSIONS ROSTER COURSE OUT SLOTS EXECUTOR SINCE COUNTS TEST SEED JSON JUNIT HTML RUNS ONLY MATRIX TARGET SECONDS TIERS,$(eval $(call as_typed,$(name))))
unexport PYTHONPATH PYTHONHOME

yes = $(filter 1 yes true on,$(1))
no = $(filter 0 no false off,$(1))

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Labs: $(LABS)'
	@echo
	@echo 'Examples'
	@echo '  make grade LAB=gemm_cpu                                  the starter, or what you wrote over it'
	@echo '  make grade LAB=gemm_cpu SUBMISSION=~/hand-ins/ada        another folder'
	@echo '  make grade LAB=gemm_cpu PRACTICE=1 DUELS=0               public tests only, nothing measured'
	@echo '  make grade LAB=gemm_cpu TEST="alpha and beta" SEED=7     one test, the same inputs again'
	@echo '  make grade LAB=gemm_cpu JSON=out.json HTML=out.html      also written to files (and JUNIT=)'
	@echo '  make check LAB=gemm_cpu RUNS=1 ONLY=mutants              do the tests catch the known-wrong solutions?'

grade: which-lab setup ## build, test and measure a submission: LAB [SUBMISSION TEST SEED JSON JUNIT HTML PRACTICE DUELS REVEAL]
	@$(GRADER) grade $(if $(call yes,$(PRACTICE)),--practice) $(if $(call no,$(DUELS)),--no-duels) \
	    $(if $(call yes,$(REVEAL)),--reveal) $(if $(call yes,$(VERBOSE)),--verbose) \
	    $${SUBMISSION:+"--submission=$$SUBMISSION"} $${TEST:+"--test=$$TEST"} $${SEED:+"--seed=$$SEED"} \
	    $${JSON:+"--json=$$JSON"} $${JUNIT:+"--junit=$$JUNIT"} $${HTML:+"--html=$$HTML"} -- "$$LAB"

BATCH_OPTIONS = $${LABS_ASKED:+"--lab=$$LABS_ASKED"} $${ROSTER:+"--roster=$$ROSTER"} $${COURSE:+"--course=$$COURSE"} \
	    $${OUT:+"--out=$$OUT"} $${SLOTS:+"--slots=$$SLOTS"} $${EXECUTOR:+"--executor=$$EXECUTOR"} \
	    $(if $(call yes,$(PRACTICE)),--practice) $(if $(call no,$(DUELS)),--no-duels)

batch: setup ## grade a class, going on where it stopped: SUBMISSIONS [LABS=a,b ROSTER COURSE OUT SLOTS EXECUTOR PRACTICE DUELS]
	@test -n "$$SUBMISSIONS" || { echo 'make: where is what was handed in? Add SUBMISSIONS=folder' >&2; exit 2; }
	@$(GRADER) batch $(BATCH_OPTIONS) -- "$$SUBMISSIONS"

regrade: setup ## grade a batch's submissions again and show what changed: [SINCE CHANGED=1 COUNTS=best|latest|never-lower], as batch
	@$(GRADER) regrade $(BATCH_OPTIONS) $${SINCE:+"--since=$$SINCE"} $(if $(call yes,$(CHANGED)),--changed-only) \
	    $${COUNTS:+"--$$COUNTS"}

watch: which-lab setup ## the public tests again whenever a file is saved: LAB [SUBMISSION]
	@$(GRADER) watch $${SUBMISSION:+"--submission=$$SUBMISSION"} -- "$$LAB"

hint: which-lab setup ## the next hint for a test: LAB [TEST]
	@$(GRADER) hint -- "$$LAB" "$$TEST"

history: which-lab setup ## the last five runs: LAB [SUBMISSION]
	@$(GRADER) history $${SUBMISSION:+"--submission=$$SUBMISSION"} -- "$$LAB"

check: which-lab setup ## prove a lab: solution, starter, rungs, mutants and cheats score what they must: LAB [RUNS ONLY QUICK MATRIX]
	@$(GRADER) lab check $(if $(call yes,$(QUICK)),--quick) $${RUNS:+"--runs=$$RUNS"} $${ONLY:+"--only=$$ONLY"} $${MATRIX:+"--matrix=$$MATRIX"} -- "$$LAB"

doctor: setup ## what this machine can judge and what not, and the command that mends each
	@$(GRADER) doctor

test: setup ## this project's own checks: formatting, lint, types, tests. CI=true: a missing tool is an error
	@.venv/bin/python -m ruff format --check --quiet
	@.venv/bin/python -m ruff check --quiet
	@.venv/bin/python -m mypy
	@.venv/bin/python -m pytest --quiet --durations=5

attacks: setup ## every attack on this machine's sandbox, in every tier that it offers: [TIERS=A,B,C]
	@.venv/bin/python -m pytest tests/attacks --quiet --all --tier=$${TIERS:-here}

fuzz: setup ## look for input that breaks a parser: TARGET (a folder of tests/fuzz/corpus) [SECONDS]. Needs: pip install atheris
	@.venv/bin/python -m tests.fuzz $(if $(value SECONDS),"--seconds=$$SECONDS") -- "$$TARGET"

clean: ## remove .venv and what the tools leave behind; reports/ stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@bash scripts/setup

which-lab:
	@test -n "$$LAB" || { echo 'make: which lab? Add LAB=… with one of: $(LABS)' >&2; exit 2; }
