# Makefile: every command of the book, on a machine with only Python 3.11+, pip and make.

PYTHON  ?= python3
PROFILE ?=
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.installed
MAKING  := $(VENV).making
# Two processes of one thread each: threads of torch that share two cores with others mostly wait for each other.
# Compiled tests are kept whatever the environment says, since pytest rewrites every assertion of those that are not.
# In the order of their names: the slow files, which are the book's, begin first and leave no process alone at the end.
TESTS   := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Recipes read PROFILE from their environment, so that neither make nor the shell runs what stands in it.
override PROFILE := $(value PROFILE)
export PROFILE

.DEFAULT_GOAL := help
.PHONY: help env book pdf report reference quick test bench lint links lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | while IFS=@ read -r name text; do \
		printf '%-12s %s\n' "$$name" "$$text"; done

env: $(READY) ## make the Python environment in .venv

book: $(READY) ## build the book, led by PROFILE (unless told: cifar10 and the runs it names; several stand side by side)
	@set -f; $(BIN)/python -m bu_book build $$PROFILE

pdf: $(READY) ## build the book and print it to book/_build/book.pdf; needs Chromium or Chrome
	@set -f; $(BIN)/python -m bu_book pdf $$PROFILE

report: $(READY) ## write a report on PROFILE (unless told: cifar10) to book/_build/report.pdf; needs Chromium
	@set -f; $(BIN)/python -m bu_book report $$PROFILE

reference: $(READY) ## compute PROFILE in full and record it under book/results; goes on where it was stopped
	@set -f; $(BIN)/python -m bu_book record $$PROFILE

quick: $(READY) ## run the tests that execute no notebook, build no book and open no browser
	$(TESTS) -q -m "not book and not slow"

test: lint ## check the code, run every test, build the smoke book and open its pages
	$(TESTS)

bench: $(READY) ## measure the speed of the methods, against plain code
	@$(BIN)/python -m bu_book bench

lint: $(READY) ## check style, types, spelling, prose, YAML and notebook templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell $$(git ls-files '*.py' '*.md' '*.yml' '*.toml' 2> /dev/null)
	$(BIN)/python .ci/prose.py $$(git ls-files '*.md' '*.py' 'notebooks/*.ipynb' 2> /dev/null)
	$(BIN)/check-yaml *.yml *.cff book/*.yml notebooks/profiles/*.yml
	$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb notebooks/steps/*.ipynb

links: $(READY) ## check on the network that every link of the book built last leads somewhere
	$(BIN)/jupyter-book build book/_build/source --config _config.yml --path-output book --builder linkcheck

lock: ## renew requirements.lock from pyproject.toml
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet -e '.[dev]'
	{ sed -n '/^#/p' requirements.lock; \
	  $(VENV)-lock/bin/pip freeze --exclude-editable | sed 's/+[A-Za-z0-9.]*$$//'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf $(VENV)-lock

clean: ## remove the environment, the built book and the caches; results/ stays
	@for made in $(VENV) $(MAKING) book/_build executed .pytest_cache .ruff_cache *.egg-info \
			$$(find bu_core bu_book tests -name __pycache__); do \
		if [ -e "$$made" ]; then echo "removing $$made"; rm -rf "$$made"; fi; done

# Without the stamp the environment is made anew, so what an interrupted install left is never built on. A second make
# would remove it under the hands of the first, so it is told to wait.
# Debian's Python without python3-venv cannot put pip into an environment; then its own pip does.
$(READY): pyproject.toml requirements.lock
	@command -v $(PYTHON) > /dev/null || { echo "make: no $(PYTHON) here; give a Python >= 3.11: make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: $$($(PYTHON) -V) is too old; give a Python >= 3.11: make PYTHON=..."; exit 1; }
	@mkdir $(MAKING) 2> /dev/null || { echo "make: another make is making $(VENV); wait until it is done" \
		"(if none is, remove $(MAKING))"; exit 1; }; \
	trap 'rmdir $(MAKING)' EXIT; trap 'exit 130' INT TERM; \
	echo "making the Python environment in $(VENV) ..."; start=$$(date +%s); \
	[ -e $@ ] || rm -rf $(VENV); rm -f $@; \
	$(PYTHON) -m venv $(VENV) > /dev/null 2>&1 \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) \
			&& $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; } \
		|| { echo "make: $(PYTHON) cannot make an environment; on Debian: apt-get install python3-venv"; exit 1; }; \
	$(BIN)/python -m pip install --disable-pip-version-check -c requirements.lock -e '.[dev]' && touch $@ \
		&& echo "environment ready in $$(( $$(date +%s) - start )) s"
