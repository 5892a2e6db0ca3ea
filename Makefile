# covey.  `make help` lists what there is to make.
#
# Everything is built under build/: objects in build/VARIANT/obj/, results of
# the release variant in build/ itself, those of asan, tsan and fuzz in
# build/VARIANT/.  Sources are listed, not found: a file that is not here is not built,
# and tools/lint says so.

VARIANT ?= release
WERROR ?= 0
PREFIX ?= /usr/local
DESTDIR ?=
SEEDS ?= 10000
SANITIZED_SEEDS ?= 1000
FUZZ_SECONDS ?= 60
TEST_SECONDS ?= 300
# Goes into the page that a sweep leaves; Debian's package node-d3 has it.
D3 ?= /usr/share/nodejs/d3/dist/d3.min.js

VERSION := $(shell sed -n 's/^.define COVEY_VERSION "\(.*\)"/\1/p' include/covey.h)
SOVERSION := 0

# ---- sources ------------------------------------------------------------------

BASE_LIB := clock file nearest
BASE_DAEMON := database size thread
CORE_LIB := buf exec exec_record frame link map mesh owner owner_borrow owner_lease owner_object \
    owner_rebuild owner_task scratch text
CORE_DAEMON := blocks extents extents_check extents_walk head head_kv head_node node node_adopt \
    node_death node_history node_lease node_list node_package node_procs node_queue node_recall \
    resources
WIRE := value walk wire_decode wire_encode wire_schema
STORE_LIB := copy frees mapping store wants window
STORE_DAEMON := arena budget
IO_LIB := door mono page places port port_peer wake
IO_DAEMON := alarm dlog job ready watch zwatch
CLIENT := callbacks command get open package process put registry show strerror submit
WORKER := args command command_log lines reporter results run serve stop threads zygote
NODE := daemon entrance family head_link keeper keeper_main log_map log_task logs machine node_main \
    output packages pager starter zygotes
HEAD := head record
SWEEP := answers ask checkpoints controller copies curves_sweep helpers launch recover report \
    run saving settings sweep tree trial
SWEEP_SPACE := cdf rng sample space text value
SWEEP_SEARCH := grid lane parzen points search sobol tpe
SWEEP_SCHEDULER := asha asha_promotion bands curves hyperband median pbt plan replay rung \
    scheduler simulate
SWEEP_SPEC := command draft help help_run spec spec_covey spec_param spec_point spec_reader spec_set \
    yaml yaml_scalar
SWEEP_RECORD := csv jsonl metrics record record_db record_read record_sinks record_write sink \
    tbevent tensorboard
SWEEP_PAGE := importance page page_curves page_data

# What a program links: no libuv, no SQLite, since loading them is most of a
# worker's start.
LIB_SRC := $(BASE_LIB:%=runtime/base/%.c) $(CORE_LIB:%=runtime/core/%.c) $(WIRE:%=runtime/wire/%.c) \
    $(STORE_LIB:%=runtime/store/%.c) $(IO_LIB:%=runtime/io/%.c) $(CLIENT:%=runtime/client/%.c) \
    $(WORKER:%=runtime/worker/%.c) runtime/sweep/report_client.c
DAEMON_SRC := $(BASE_DAEMON:%=runtime/base/%.c) $(CORE_DAEMON:%=runtime/core/%.c) \
    $(STORE_DAEMON:%=runtime/store/%.c) $(IO_DAEMON:%=runtime/io/%.c) $(NODE:%=runtime/node/%.c) \
    $(HEAD:%=runtime/head/%.c)
# libcovey-sweep.  What a trial in C calls is in it, too, although its SQLite, libyaml
# and json-c make a program's start 0.6 ms longer: the program that has the trials also runs
# the sweep, so it needs them, and a node loads it once and forks each trial's worker.
# covey_report(), for programs that a sweep starts, needs none of them: it is in libcovey.
SWEEP_SRC := $(SWEEP:%=runtime/sweep/%.c) $(SWEEP_SPACE:%=runtime/sweep/space/%.c) \
    $(SWEEP_SEARCH:%=runtime/sweep/search/%.c) \
    $(SWEEP_SCHEDULER:%=runtime/sweep/scheduler/%.c) \
    $(SWEEP_SPEC:%=runtime/sweep/spec/%.c) \
    $(SWEEP_RECORD:%=runtime/sweep/record/%.c) \
    $(SWEEP_PAGE:%=runtime/sweep/page/%.c)
TOOL_SRC := $(addprefix tools/,args.c argv.c bench.c bench_life.c bench_object.c bench_record.c \
    bench_sweep.c bench_task.c bench_zmq.c cli.c cluster.c cmd.c cmd_bench.c cmd_daemon.c \
    cmd_doctor.c cmd_list.c cmd_logs.c cmd_private.c cmd_report.c cmd_run.c cmd_start.c \
    cmd_status.c cmd_stop.c cmd_sweep.c cmd_sweep_attach.c cmd_sweep_init.c cmd_sweep_preview.c \
    cmd_sweep_run.c cmd_sweep_show.c cmd_sweep_simulate.c launch.c listing.c query.c \
    sweep_detach.c sweep_keys.c sweep_live.c sweep_screen.c sweep_term.c sweep_view.c)

EXAMPLES := command fashion_grid fashion_mnist/train hello nested own_loop pi progress retries \
    sweep word_count
# A minute of arithmetic, in which a sanitizer learns nothing.
EXAMPLES_LONG := fashion_grid
# Trials of a sweep, which a script tests.
EXAMPLES_SWEPT := fashion_mnist/train
# Of those that are more than one file, the other files; and the libraries.
FASHION := $(addprefix fashion_mnist/,fashion_data mlp trainer)
EXAMPLE_PARTS := $(FASHION) fashion_mnist/checkpoint fashion_tasks
EXAMPLE_PARTS_fashion_grid := $(FASHION) fashion_tasks
EXAMPLE_PARTS_fashion_mnist/train := $(FASHION) fashion_mnist/checkpoint
EXAMPLE_LIBS_fashion_grid = $(LIBS_BLAS) $(LIBS_Z) -lm
EXAMPLE_LIBS_fashion_mnist/train = $(EXAMPLE_LIBS_fashion_grid)
EXAMPLE_LIBS_own_loop = $(LIBS_UV)
EXAMPLE_LIBS_sweep = -lcovey-sweep

UNIT := args budget buf database dlog door exec exec_model extents head head_link head_process \
    keeper link listing logs machine map mesh node node_lists node_model owner owner_lease \
    owner_nomem owner_objects packages page places port record resources store store_nomem \
    store_wants sweep_command sweep_controller sweep_copies sweep_help sweep_importance \
    sweep_nomem sweep_page sweep_pbt sweep_record sweep_replay sweep_scheduler \
    sweep_scheduler_model sweep_search sweep_set sweep_simulate sweep_spec sweep_sync \
    sweep_value sweep_view sweep_yaml value wire wire_hostile zwatch zygote
# These count on __wrap_malloc to let the n-th allocation fail.
UNIT_WRAP := exec exec_model head link map mesh node_model owner_nomem store_nomem sweep_nomem \
    sweep_replay sweep_scheduler_model sweep_search sweep_simulate
SIM := head machine main net process program world
FUZZ := frame help lines set sweep_file value wire
# With real processes: scripts, the programs that they run, and programs that
# are tests themselves.
CLUSTER_TESTS := cli lists logs stop sweep sweep_copies sweep_fashion sweep_page sweep_run \
    sweep_tools sweep_view wandb
CLUSTER_PROGRAMS := commander printer talker terminal
CLUSTER_CHECKS := api_misuse api_use bad_code command_use kill9 message_use node_death sweep_c \
    task_env
CHECK_LIBS_sweep_c = -lcovey-sweep
# These install or measure: under a sanitizer that is no different, or makes no sense.
CLUSTER_TESTS_RELEASE := bench tools

EXAMPLE_SRC := $(patsubst %,examples/%.c,$(EXAMPLES) $(EXAMPLE_PARTS))
TEST_SRC := $(UNIT:%=tests/unit/test_%.c) $(SIM:%=tests/sim/%.c) $(FUZZ:%=tests/fuzz/fuzz_%.c) \
    tests/fuzz/replay.c tests/fuzz/make_corpus.c \
    $(patsubst %,tests/cluster/%.c,$(CLUSTER_PROGRAMS) $(CLUSTER_CHECKS))

# ---- flags ----------------------------------------------------------------------

, := ,
pkg = $(shell for p in $(2); do pkg-config --silence-errors $(1) $$p && break; done)

LIBS_ZMQ := $(call pkg,--libs,libzmq)
LIBS_MSGPACK := $(call pkg,--libs,msgpack msgpack-c)
LIBS_UV := $(call pkg,--libs,libuv)
LIBS_SQLITE := $(call pkg,--libs,sqlite3)
LIBS_JSON := $(call pkg,--libs,json-c)
LIBS_YAML := $(call pkg,--libs,yaml-0.1)
LIBS_XXHASH := $(call pkg,--libs,libxxhash)
LIBS_BLAS = $(call pkg,--libs,openblas)
LIBS_Z = $(call pkg,--libs,zlib)
LIBS_CMOCKA := $(call pkg,--libs,cmocka)
CFLAGS_PKG := $(call pkg,--cflags,libzmq) $(call pkg,--cflags,msgpack msgpack-c) \
    $(call pkg,--cflags,libuv) $(call pkg,--cflags,openblas)

# As-needed, so that what only offers macros (msgpack-c's packer) is not loaded.
LIB_LIBS := -Wl,--as-needed $(LIBS_ZMQ) $(LIBS_MSGPACK) -lpthread -lm
SWEEP_LIBS := -Wl,--as-needed $(LIBS_SQLITE) $(LIBS_JSON) $(LIBS_YAML) -lpthread -lm
ALL_LIBS := $(LIB_LIBS) $(LIBS_UV) $(LIBS_SQLITE) $(LIBS_JSON) $(LIBS_YAML) $(LIBS_XXHASH) -ldl

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
    -Wno-format-nonliteral
WARN += $(if $(filter 1,$(WERROR)),-Werror)
CPPFLAGS_ALL := -D_GNU_SOURCE -Iinclude -Iruntime -Itools $(CFLAGS_PKG) $(CPPFLAGS)

# Assertions stay in every variant: a bug is to stop where it is.
FLAGS_release := -O2 -g -fstack-protector-strong
FLAGS_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
FLAGS_lint := -O2 -Werror
FLAGS_fuzz := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined
ifeq ($(origin FLAGS_$(VARIANT)),undefined)
$(error VARIANT=$(VARIANT) is none of release, asan, tsan, fuzz, lint)
endif
ifeq ($(VARIANT),fuzz)
CC := clang
endif
CFLAGS_ALL := -std=gnu11 -fPIC -pthread $(WARN) $(FLAGS_$(VARIANT)) $(CFLAGS)
LDFLAGS_ALL := $(filter -fsanitize%,$(FLAGS_$(VARIANT))) -pthread $(LDFLAGS)

OBJ := build/$(VARIANT)/obj
OUT := $(if $(filter release,$(VARIANT)),build,build/$(VARIANT))

objects = $(patsubst %.c,$(OBJ)/%.o,$(1))
LIB_OBJ := $(call objects,$(LIB_SRC))
DAEMON_OBJ := $(call objects,$(DAEMON_SRC))
TOOL_OBJ := $(call objects,$(TOOL_SRC))
SWEEP_OBJ := $(call objects,$(SWEEP_SRC))
SWEEP_LIB_OBJ := $(SWEEP_OBJ) $(call objects,$(patsubst %,runtime/base/%.c,$(BASE_LIB) $(BASE_DAEMON)))
COMMAND_OBJ := $(call objects,tools/covey.c) $(TOOL_OBJ) $(SWEEP_OBJ) $(DAEMON_OBJ) $(LIB_OBJ)

# One line a file; V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-3s %s\n' $(1) $(2))

# A test takes from its helpers what it needs.
$(OBJ)/tests/%.o: FLAGS_HERE := -Wno-unused-function

# ---- what is built ------------------------------------------------------------------

COMMAND := $(OUT)/covey
SHARED := $(OUT)/libcovey.so
STATIC := $(OUT)/libcovey.a
SWEEP_SHARED := $(OUT)/libcovey-sweep.so
SWEEP_STATIC := $(OUT)/libcovey-sweep.a
INTERNAL := $(OBJ)/internal.a
RUN_TESTS := build/run-tests
EXAMPLE_BIN := $(EXAMPLES:%=$(OUT)/examples/%)
CLUSTER_BIN := $(patsubst %,$(OUT)/tests/cluster/%,$(CLUSTER_PROGRAMS) $(CLUSTER_CHECKS))
UNIT_BIN := $(UNIT:%=$(OUT)/tests/unit/test_%)
SIM_BIN := $(if $(SIM),$(OUT)/tests/sim)
REPLAY_BIN := $(FUZZ:%=$(OUT)/tests/replay_%)
FUZZ_BIN := $(FUZZ:%=$(OUT)/fuzz_%)

.DEFAULT_GOAL := all
.PHONY: all help deps run test test-all test-built test-torch asan tsan fuzz lint tidy bench sim install \
    uninstall clean corpus examples unit
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

all: $(COMMAND) libraries examples ## build the command, the libraries, the examples

.PHONY: libraries
libraries: $(SHARED) $(STATIC) $(SWEEP_SHARED) $(SWEEP_STATIC)

examples: $(EXAMPLE_BIN)

unit: $(UNIT_BIN)

# Nothing is compiled before it is known that everything is there to do it with.
build/.deps:
	@tools/install-deps --check
	@mkdir -p build && touch $@

$(OBJ)/%.o: %.c | build/.deps
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(FLAGS_HERE) -MMD -MP -c $< -o $@

# It carries these along.
$(call objects,runtime/sweep/helpers.c): runtime/sweep/python/covey_report.py \
    runtime/sweep/python/wandb/__init__.py runtime/sweep/python/argparse_help.py
$(call objects,runtime/sweep/page/page.c): FLAGS_HERE := -DCOVEY_D3='"$(D3)"'
$(call objects,runtime/sweep/page/page.c): $(wildcard runtime/sweep/page/web/*) $(D3)
$(D3):
	@echo "$@ is missing: make deps installs it; D3=FILE names another" >&2; exit 2

$(COMMAND): $(COMMAND_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(ALL_LIBS) -o $@

# What it does not define and no library of its own does is a mistake, except
# what a sanitizer brings with the program.
DEFS := $(if $(filter release,$(VARIANT)),-Wl$(,)-z$(,)defs)
$(SHARED).$(VERSION): $(LIB_OBJ) tools/libcovey.map
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(LDFLAGS_ALL) $(DEFS) -Wl,-soname,libcovey.so.$(SOVERSION) \
	    -Wl,--version-script=tools/libcovey.map $(LIB_OBJ) $(LIB_LIBS) -o $@

$(SWEEP_SHARED).$(VERSION): $(SWEEP_LIB_OBJ) $(SHARED) tools/libcovey-sweep.map
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(LDFLAGS_ALL) $(DEFS) -Wl,-soname,libcovey-sweep.so.$(SOVERSION) \
	    -Wl,--version-script=tools/libcovey-sweep.map $(SWEEP_LIB_OBJ) -L$(OUT) -lcovey $(SWEEP_LIBS) -o $@

$(SHARED) $(SWEEP_SHARED): %: %.$(VERSION)
	@ln -sf $(notdir $<) $@.$(SOVERSION)
	@ln -sf $(notdir $<) $@

$(STATIC): $(LIB_OBJ)
$(SWEEP_STATIC): $(SWEEP_LIB_OBJ)
$(STATIC) $(SWEEP_STATIC):
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) qcs $@ $^

# For tests: everything but main, so that each test links what it asks for.
$(INTERNAL): $(LIB_OBJ) $(DAEMON_OBJ) $(SWEEP_OBJ) $(TOOL_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) qcs $@ $^

.SECONDEXPANSION:
example_objects = $(call objects,$(patsubst %,examples/%.c,$(1) $(EXAMPLE_PARTS_$(1))))
$(EXAMPLE_BIN): $(OUT)/examples/%: $$(call example_objects,$$*) $(SHARED) $(SWEEP_SHARED)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $(call example_objects,$*) -L$(OUT) $(EXAMPLE_LIBS_$*) -lcovey \
	    '-Wl,-rpath,$$ORIGIN/..$(if $(findstring /,$*),/..)' -lm -o $@

$(CLUSTER_BIN): $(OUT)/tests/cluster/%: $(OBJ)/tests/cluster/%.o $(SHARED) $(SWEEP_SHARED)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $< -L$(OUT) $(CHECK_LIBS_$*) -lcovey '-Wl,-rpath,$$ORIGIN/../..' -o $@

WRAP := $(foreach f,malloc calloc realloc strdup strndup,-Wl$(,)--wrap=$(f))
$(UNIT_BIN): $(OUT)/tests/unit/test_%: $(OBJ)/tests/unit/test_%.o $(INTERNAL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $(if $(filter $*,$(UNIT_WRAP)),$(WRAP)) $< $(INTERNAL) $(LIBS_CMOCKA) \
	    $(ALL_LIBS) -o $@

$(OUT)/tests/sim: $(call objects,$(SIM:%=tests/sim/%.c)) $(INTERNAL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(LIBS_CMOCKA) $(ALL_LIBS) -o $@

$(REPLAY_BIN): $(OUT)/tests/replay_%: $(OBJ)/tests/fuzz/fuzz_%.o $(OBJ)/tests/fuzz/replay.o \
        $(INTERNAL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(ALL_LIBS) -o $@

$(OUT)/tests/make_corpus: $(OBJ)/tests/fuzz/make_corpus.o $(INTERNAL)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(ALL_LIBS) -o $@

ifeq ($(VARIANT),fuzz)
$(FUZZ_BIN): $(OUT)/fuzz_%: $(OBJ)/tests/fuzz/fuzz_%.o $(INTERNAL)
	$(call say,LD,$@)
	$(Q)$(CC) -fsanitize=fuzzer,address,undefined $^ $(ALL_LIBS) -o $@
endif

$(OUT)/prove-search: $(call objects,tools/prove_search.c) $(INTERNAL)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(ALL_LIBS) -o $@

$(RUN_TESTS): tools/run-tests.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g $(WARN) $< -o $@

# ---- use it ---------------------------------------------------------------------------

deps: ## install what is missing (apt-get, as root or by sudo)
	@tools/install-deps

run: deps ## search the best network for Fashion-MNIST; RUN=pi: run that example
	@$(MAKE) --no-print-directory all
	$(OUT)/covey $(if $(RUN),run $(OUT)/examples/$(RUN),sweep run examples/fashion_mnist/sweep.yaml)

bench: all ## measure this machine
	$(COMMAND) bench

# ---- tests ----------------------------------------------------------------------------

# Programs that tests start find the command and each other through these.
TEST_ENV := COVEY_BIN=$(CURDIR)/$(COMMAND) COVEY_BUILD=$(CURDIR)/$(OUT)
TEST_ENV += ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
TEST_ENV += UBSAN_OPTIONS=print_stacktrace=1
TEST_ENV += TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp:history_size=4

TESTS_UNIT := $(UNIT:%=$(OUT)/tests/unit/test_%)
TESTS_SIM := $(if $(SIM),'plain:$(OUT)/tests/sim --seeds $(SEEDS)')
TESTS_FUZZ := $(foreach f,$(FUZZ),'$(OUT)/tests/replay_$(f) tests/fuzz/corpus/$(f)')
TESTS_EXAMPLES := $(patsubst %,plain:$(OUT)/examples/%,$(filter-out $(EXAMPLES_SWEPT) \
    $(if $(filter release,$(VARIANT)),,$(EXAMPLES_LONG)),$(EXAMPLES)))
TESTS_CLUSTER := $(CLUSTER_TESTS:%=tests/cluster/test_%.sh) \
    $(CLUSTER_CHECKS:%=$(OUT)/tests/cluster/%)
TESTS_RELEASE := $(CLUSTER_TESTS_RELEASE:%=tests/cluster/test_%.sh)

TESTS := $(TESTS_UNIT) $(TESTS_SIM) $(TESTS_FUZZ) $(TESTS_CLUSTER) $(TESTS_EXAMPLES)
ifeq ($(VARIANT),release)
TESTS += $(TESTS_RELEASE)
endif

test: deps ## install what is missing, build, run all tests
	@$(MAKE) --no-print-directory test-built

test-built: all $(UNIT_BIN) $(SIM_BIN) $(REPLAY_BIN) $(CLUSTER_BIN) $(RUN_TESTS)
	@$(TEST_ENV) $(RUN_TESTS) -t $(TEST_SECONDS) $(TESTS)

test-torch: deps ## sweep a trainer in PyTorch (installs Debian's python3-torch)
	@tools/install-deps --torch
	@$(MAKE) --no-print-directory all $(RUN_TESTS)
	@$(TEST_ENV) $(RUN_TESTS) -t 600 tests/cluster/test_torch.sh

asan tsan: ## tests under AddressSanitizer with UBSan; under ThreadSanitizer
	@tools/install-deps --check
	@$(MAKE) --no-print-directory VARIANT=$@ TEST_SECONDS=600 SEEDS=$(SANITIZED_SEEDS) test-built

test-all: ## test, asan, tsan, lint and a minute of each fuzz target
	@$(MAKE) --no-print-directory test
	@KILLS=200 $(TEST_ENV) $(RUN_TESTS) -t 600 $(OUT)/tests/cluster/kill9
	@$(MAKE) --no-print-directory asan
	@$(MAKE) --no-print-directory tsan
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory fuzz

sim: $(SIM_BIN) ## the simulator on SEEDS=n seeds
	$(OUT)/tests/sim --seeds $(SEEDS)

fuzz: ## each decoder's fuzz target for FUZZ_SECONDS=n (needs clang)
	@command -v clang >/dev/null && \
	    ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1 || \
	    { echo "make fuzz needs clang with libFuzzer:" \
	        "apt-get install -y clang libclang-rt-14-dev" >&2; exit 2; }
	@$(MAKE) --no-print-directory VARIANT=fuzz fuzz-built

.PHONY: fuzz-built
fuzz-built: $(FUZZ_BIN)
	@for f in $(FUZZ); do \
	    mkdir -p $(OUT)/corpus/$$f && \
	    $(OUT)/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 \
	        -print_final_stats=1 -artifact_prefix=$(OUT)/ $(OUT)/corpus/$$f tests/fuzz/corpus/$$f \
	        || exit 1; \
	done

corpus: $(OUT)/tests/make_corpus ## write the seeds of fuzzing anew, after a message changed
	$< tests/fuzz/corpus

lint: ## layers, warnings as errors, static analysis
	@tools/lint
	@$(MAKE) --no-print-directory VARIANT=lint lint-built

.PHONY: lint-built
lint-built: $(call objects,$(LIB_SRC) $(DAEMON_SRC) $(SWEEP_SRC) $(TOOL_SRC) tools/covey.c \
    tools/prove_search.c)

tidy: ## clang-tidy over the sources; takes minutes, and may be wrong
	@command -v clang-tidy >/dev/null || \
	    { echo "make tidy needs clang-tidy: apt-get install -y clang-tidy" >&2; exit 2; }
	@clang-tidy --quiet $(LIB_SRC) $(DAEMON_SRC) $(SWEEP_SRC) $(TOOL_SRC) tools/covey.c -- -std=gnu11 \
	    $(CPPFLAGS_ALL) 2>/dev/null

# For tools/lint: every file that some target compiles.
.PHONY: list-sources
list-sources:
	@printf '%s\n' $(LIB_SRC) $(DAEMON_SRC) $(SWEEP_SRC) $(TOOL_SRC) tools/covey.c tools/run-tests.c \
	    tools/prove_search.c $(EXAMPLE_SRC) $(TEST_SRC)

# ---- install --------------------------------------------------------------------------

DEST := $(DESTDIR)$(PREFIX)
install: all ## to PREFIX=/usr/local, below DESTDIR=
	install -d $(DEST)/bin $(DEST)/lib/pkgconfig $(DEST)/include/covey $(DEST)/share/man/man1 \
	    $(DEST)/share/man/man3 $(DEST)/share/man/man5 $(DEST)/share/bash-completion/completions
	install -m 755 $(COMMAND) $(DEST)/bin/covey
	for lib in libcovey libcovey-sweep; do \
	    install -m 755 $(OUT)/$$lib.so.$(VERSION) $(DEST)/lib/$$lib.so.$(VERSION) && \
	    ln -sf $$lib.so.$(VERSION) $(DEST)/lib/$$lib.so.$(SOVERSION) && \
	    ln -sf $$lib.so.$(VERSION) $(DEST)/lib/$$lib.so && \
	    install -m 644 $(OUT)/$$lib.a $(DEST)/lib/$$lib.a || exit 1; \
	done
	install -m 644 include/covey.h $(DEST)/include/covey.h
	install -m 644 include/covey/sweep.h $(DEST)/include/covey/sweep.h
	install -m 644 tools/man/covey.1 $(DEST)/share/man/man1/covey.1
	install -m 644 tools/man/covey.3 tools/man/covey-sweep.3 $(DEST)/share/man/man3
	install -m 644 tools/man/covey-sweep.5 $(DEST)/share/man/man5/covey-sweep.5
	install -m 644 tools/covey.bash $(DEST)/share/bash-completion/completions/covey
	for name in covey covey-sweep; do \
	    sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' tools/$$name.pc.in \
	        > $(DEST)/lib/pkgconfig/$$name.pc || exit 1; \
	done

uninstall: ## remove what install put there
	rm -f $(DEST)/bin/covey $(DEST)/lib/libcovey.so* $(DEST)/lib/libcovey-sweep.so* \
	    $(DEST)/lib/libcovey.a $(DEST)/lib/libcovey-sweep.a $(DEST)/lib/pkgconfig/covey.pc \
	    $(DEST)/lib/pkgconfig/covey-sweep.pc $(DEST)/include/covey.h $(DEST)/include/covey/sweep.h \
	    $(DEST)/share/man/man1/covey.1 $(DEST)/share/man/man3/covey.3 \
	    $(DEST)/share/man/man3/covey-sweep.3 $(DEST)/share/man/man5/covey-sweep.5 \
	    $(DEST)/share/bash-completion/completions/covey
	[ ! -d $(DEST)/include/covey ] || rmdir --ignore-fail-on-non-empty $(DEST)/include/covey

clean: ## remove build/
	rm -rf build

help: ## print this
	@sed -n 's/^\([a-z][a-z -]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	    while IFS='|' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done
	@echo '  variables: VARIANT=release|asan|tsan WERROR=1 V=1 SEEDS=n FUZZ_SECONDS=n PREFIX= DESTDIR='

DEPENDENCIES := $(sort $(COMMAND_OBJ) $(call objects,$(EXAMPLE_SRC) $(TEST_SRC)))
-include $(DEPENDENCIES:.o=.d)
