# mktcontacts
#
#   make, make install, make installcheck     as for every PostgreSQL extension
#   make test        all tests on a server of their own; needs nothing but git and make beforehand
#   make test-matrix all tests on PostgreSQL 15, 17 and 18, in a Debian of their own; MATRIX=folder keeps that
#   make test-sanitized  all tests under sanitizers, on a PostgreSQL with assertions; SANITIZED=folder keeps that
#   make soak        random statements for hours; SOAK_STATEMENTS says how many
#   make crash       a server that dies again and again under writers; CRASHES says how often
#   make coverage    what the tests reach of src/, by lcov, as pages in coverage/; COVERAGE=folder names another
#   make mutate      do the tests notice small faults in src/? MUTATE_COUNT and MUTATE_SEED say how many, and which
#   make sqlsmith    random SQL of sqlsmith, 100,000 statements or SQLSMITH_STATEMENTS; no process dies, no internal error
#   make demo        200,000 contacts from a CRM's export, on a server of its own
#   make bench       the measurements of test/bench; bench-costs instructions and WAL only, bench-scaling other sizes,
#                    bench-readme writes what was measured into README
#   make indent      lay out src/ as PostgreSQL does; indent-check only shows what differs
#   make cppcheck    static analysis

EXTENSION = mktcontacts
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)

MODULE_big = $(EXTENSION)
OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

# The library knows of which version it is.
PG_CPPFLAGS = -DMKT_VERSION='"$(EXTVERSION)"'

# The install script is made of these parts in the order of their numbers.
INSTALL_PARTS := $(sort $(wildcard sql/[0-9]*.sql))
DATA_built = $(EXTENSION)--$(EXTVERSION).sql
DATA = $(wildcard sql/$(EXTENSION)--*--*.sql)

REGRESS := $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test
ISOLATION := $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=.
TAP_TESTS = 1
PROVE_TESTS ?= test/t/*.pl
EXTRA_CLEAN = coverage test/__pycache__ test/*/__pycache__

# pg_regress looks for sql/NAME.sql before test/sql/NAME.sql and would run an install part as a test.
MISTAKEN := $(filter $(REGRESS),$(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
ifneq ($(MISTAKEN),)
$(error test/sql and sql both hold $(MISTAKEN:%=%.sql): rename the test)
endif

# Both kinds of test write results/NAME.out and are compared with expected/NAME.out.
MISTAKEN := $(filter $(REGRESS),$(ISOLATION))
ifneq ($(MISTAKEN),)
$(error test/sql and test/specs both hold $(MISTAKEN): rename one)
endif

# Bitcode serves to inline functions into queries; ours are called by triggers. Without it nobody needs clang.
override with_llvm := no

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifneq ($(PGXS),)
include $(PGXS)
else ifneq ($(filter-out test test-matrix test-sanitized soak sqlsmith coverage mutate crash demo bench bench-costs bench-scaling bench-readme indent indent-check,$(or $(MAKECMDGOALS),all)),)
$(error No PostgreSQL to build with: install its server headers (Debian: postgresql-server-dev-15) or say PG_CONFIG=/path/to/pg_config)
endif

$(OBJS): $(wildcard src/*.h) $(EXTENSION).control

$(DATA_built): $(INSTALL_PARTS) $(EXTENSION).control
	{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; cat $(INSTALL_PARTS); } > $@

.PHONY: test test-matrix test-sanitized soak sqlsmith coverage mutate crash demo bench bench-costs bench-scaling bench-readme indent indent-check cppcheck

test mutate demo bench: %:
	test/$(if $(filter test,$@),run,$@/run)

bench-costs bench-scaling: bench-%:
	test/bench/run $*

bench-readme:
	python3 test/bench/readme.py

test-matrix soak sqlsmith coverage crash:
	test/$(@:test-%=%)

test-sanitized:
	test/sanitized/run

SOURCES = $(sort $(wildcard src/*.[ch]))

indent:
	@for file in $(SOURCES); do test/layout < $$file > $$file.new && cat $$file.new > $$file; rm -f $$file.new; done

indent-check:
	@status=0; for file in $(SOURCES); do \
	  test/layout < $$file | diff -u --label $$file --label "$$file, laid out" $$file - || status=1; done; exit $$status

# PostgreSQL's headers are read, for types and macros, but what is found in them is not ours; of the configurations that
# their conditionals make possible one is looked at, for the others are of other compilers and machines.
cppcheck: HEADERS_DIR = $(shell $(PG_CONFIG) --includedir-server)
cppcheck:
	cppcheck -j 2 --quiet --error-exitcode=1 --enable=warning,performance,portability --std=c99 --inline-suppr \
	  -I $(HEADERS_DIR) $(PG_CPPFLAGS) --suppress='*:$(HEADERS_DIR)/*' --max-configs=1 --suppress=toomanyconfigs src
