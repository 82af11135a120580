# SPDX-License-Identifier: Apache-2.0
# kappa: an event log you can rewind. `make help` lists the targets.

CONFIG ?= release
V      ?= 0
ifeq ($(origin CC),default)
CC := gcc
endif
B  := build/$(CONFIG)
Q  := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' $(1) $(2);)

# ---- packages (Debian 12) ----------------------------------------------------------------------
DEPS_BUILD := gcc make pkg-config liburing-dev libxxhash-dev liblz4-dev libzstd-dev zlib1g-dev \
  libsnappy-dev libsqlite3-dev libpg-query-dev libprotobuf-c-dev libmicrohttpd-dev librdkafka-dev \
  libssl-dev libpcre2-dev libcurl4-openssl-dev libinih-dev
DEPS_TEST  := libcmocka-dev libjson-c-dev libnng-dev kcat python3 python3-confluent-kafka python3-kafka \
  openssl python3-snappy python3-lz4 python3-zstandard postgresql curl procps
DEPS_DEV   := clang clang-format clang-tidy cppcheck fio valgrind

# ---- flags ---------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
  -Wmissing-prototypes -Wvla -Wundef -Wwrite-strings -Wcast-qual -Wcast-align -Wformat=2 \
  -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference $(if $(WERROR),-Werror)
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
OPT_release := -O2 -g -D_FORTIFY_SOURCE=3
OPT_debug   := -O0 -g3
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread
OPT_cov     := -O0 -g --coverage
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifeq ($(OPT_$(CONFIG)),)
$(error CONFIG=$(CONFIG): choose release, debug, asan, tsan, cov or fuzz)
endif
VERSION := 0.1.0
CFLAGS_ALL  := -std=gnu17 -D_GNU_SOURCE -DKAPPA_VERSION='"$(VERSION)"' $(WARN) $(HARDEN) $(OPT_$(CONFIG)) \
  -I. -I$(B)/gen $(CFLAGS)
LDFLAGS_ALL := -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(filter -fsanitize% --coverage,$(OPT_$(CONFIG))) $(LDFLAGS)
LIBS_base   := -luring -lpthread
LIBS_log    := -llz4 -lzstd -lz -lsnappy
LIBS_broker := -lmicrohttpd -lssl -lcrypto -lpcre2-8
LIBS_proc   := -lsqlite3 -lpg_query -lprotobuf-c -lpcre2-8 -lcrypto -lm
LIBS_tools  := -lrdkafka -lcurl -linih

# ---- rooms ---------------------------------------------------------------------------------------
SRC_base   := $(wildcard log/base/*.c)
SRC_log    := $(wildcard log/*.c)
SRC_broker := $(wildcard broker/*.c broker/kafka/*.c broker/groups/*.c broker/transactions/*.c \
              broker/auth/*.c broker/quotas/*.c broker/settings/*.c broker/http/*.c broker/native/*.c)
SRC_proc   := $(wildcard processor/*.c processor/sql/*.c processor/op/*.c processor/io/*.c)
SRC_replay := $(wildcard replay/*.c)
SRC_tools  := $(wildcard tools/*.c)
SRC_test   := $(wildcard test/lib/*.c)
SRC_sim    := $(filter-out %_test.c test/sim/main.c test/sim/mutant_program.c,$(wildcard test/sim/*.c))
ROOMS      := base log broker proc replay tools test sim
-include broker/kafka/gen.mk

# archives in link order, for a test or program that stands in a given room
A_base   := $(B)/libbase.a
A_log    := $(B)/liblog.a $(A_base)
A_broker := $(B)/libbroker.a $(A_log)
A_proc   := $(B)/libproc.a $(A_log)
A_replay := $(B)/libreplay.a $(A_proc)
A_tools  := $(B)/libtools.a $(B)/libbroker.a $(A_replay)
A_fuzz   := $(B)/libfuzz.a $(B)/libtest.a $(B)/libbroker.a $(A_proc)
A_sim    := $(B)/libsim.a $(B)/libtest.a $(B)/libbroker.a $(A_replay)
L_base   := $(LIBS_base)
L_log    := $(LIBS_log) $(L_base)
L_broker := $(LIBS_broker) $(L_log)
L_proc   := $(LIBS_proc) $(L_log)
L_replay := $(L_proc)
L_tools  := $(LIBS_tools) $(LIBS_broker) $(L_proc)
L_sim    := $(LIBS_broker) $(L_proc)
L_fuzz   := $(L_sim)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

## all: build the kappa program and libkappa.a
all: $(B)/kappa $(B)/libkappa.a

# the client library is one object that shows nothing but kappa_*
OBJ_libkappa := $(patsubst %.c,$(B)/obj/%.o,$(filter-out %/example.c,$(wildcard broker/libkappa/*.c)))
$(B)/libkappa.a: $(OBJ_libkappa) $(A_broker)
	$(call say,AR,$@)rm -f $@; $(LD) -r -o $(B)/obj/libkappa.o $^
	$(Q)objcopy -w --keep-global-symbol='kappa_*' $(B)/obj/libkappa.o && ar qcs $@ $(B)/obj/libkappa.o

$(B)/kappa: $(A_tools)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -o $@ $(A_tools) $(L_tools)

# the program's main stands apart from the library of its commands, so that tests can link those
$(B)/kappa: $(B)/obj/tools/main.o
$(B)/kappa: LDFLAGS_ALL += $(B)/obj/tools/main.o

define room
OBJ_$(1) := $$(patsubst %.c,$$(B)/obj/%.o,$$(filter-out tools/main.c,$$(SRC_$(1))))
$$(B)/lib$(1).a: $$(OBJ_$(1))
	$$(call say,AR,$$@)rm -f $$@; mkdir -p $$(@D); ar qcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room,$(r))))

$(B)/obj/%.o: %.c | $(GEN_HEADERS)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
# chosen at run time (log/checksum.c)
ifneq ($(filter x86_64%,$(shell $(CC) -dumpmachine)),)
$(B)/obj/log/checksum_avx2.o: CFLAGS_ALL += -mavx2
$(B)/obj/log/checksum_avx512.o: CFLAGS_ALL += -mavx512f
endif

# ---- tests ---------------------------------------------------------------------------------------
# test/<dir>/<noun>_test.c is one cmocka program linked with the room it stands in and those below.
define unit
TEST_$(1) := $$(patsubst test/%.c,$$(B)/test/%,$$(wildcard test/$(1)/*_test.c))
$$(TEST_$(1)): $$(B)/test/%: $$(B)/obj/test/%.o $$(B)/libtest.a $$(A_$(2))
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)$$(CC) $$(LDFLAGS_ALL) -o $$@ $$< $$(B)/libtest.a $$(A_$(2)) -lcmocka $$(L_$(2))
TESTS += $$(TEST_$(1))
## check-DIR: the unit tests of one folder (base log broker processor replay tools sim); T=PATTERN narrows
check-$(1): $$(TEST_$(1))
	$$(Q)test/run.sh $$(if $$(T),$$(foreach t,$$(TEST_$(1)),$$(if $$(findstring $$(T),$$(t)),$$(t))),$$(TEST_$(1)))
.PHONY: check-$(1)
endef
$(eval $(call unit,base,base))
$(eval $(call unit,log,log))
$(eval $(call unit,broker,broker))
$(eval $(call unit,processor,proc))
$(eval $(call unit,replay,replay))
$(eval $(call unit,tools,tools))
$(eval $(call unit,sim,sim))
$(eval $(call unit,crash,log))
$(eval $(call unit,fuzz,fuzz))
# fuzz targets: libFuzzer of clang runs them, replay_test what is kept
OBJ_fuzz := $(patsubst %.c,$(B)/obj/%.o,$(wildcard test/fuzz/*_fuzz.c) test/fuzz/fuzz.c)
$(B)/libfuzz.a: $(OBJ_fuzz)
	$(call say,AR,$@)rm -f $@; mkdir -p $(@D); ar qcs $@ $^
$(B)/test/fuzz/fuzz: $(B)/obj/test/fuzz/fuzz_main.o $(A_fuzz)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ -lcmocka $(L_fuzz)
FUZZ_CC ?= $(firstword $(foreach c,clang clang-14,$(if $(shell command -v $c),$c)) clang)
## fuzz: look for inputs that break T=TARGET (see test/fuzz/fuzz.c) for SECONDS=60, with clang; needs make deps-dev
fuzz:
	$(Q)$(MAKE) --no-print-directory CONFIG=fuzz CC="$(FUZZ_WRAP) $(FUZZ_CC)" build/fuzz/test/fuzz/fuzz
	$(Q)$(MAKE) --no-print-directory $(B)/test/fuzz/replay_test
	$(Q)for t in $(or $(T),$$(sed -n 's/^    {"\([a-z]*\)".*/\1/p' test/fuzz/fuzz.c)); do \
	  mkdir -p build/fuzz/found/$$t && $(B)/test/fuzz/replay_test unpack $$t build/fuzz/found/$$t && \
	  KAPPA_FUZZ=$$t build/fuzz/test/fuzz/fuzz -max_total_time=$(or $(SECONDS),60) -timeout=25 -rss_limit_mb=4096 \
	    -max_len=4096 -artifact_prefix=build/fuzz/$$t- -print_final_stats=1 -verbosity=0 build/fuzz/found/$$t || exit 1; done
.PHONY: fuzz
# what the programs of test/crash share
OBJ_crash := $(patsubst %.c,$(B)/obj/%.o,$(filter-out %_test.c %_main.c,$(wildcard test/crash/*.c)))
$(B)/libcrash.a: $(OBJ_crash)
	$(call say,AR,$@)rm -f $@; mkdir -p $(@D); ar qcs $@ $^
$(TEST_crash): $(B)/libcrash.a
$(TEST_crash): A_log := $(B)/libcrash.a $(B)/libtest.a $(A_log)
$(B)/test/crash/crash_main: $(B)/obj/test/crash/crash_main.o $(B)/libcrash.a $(B)/libtest.a $(A_log)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(L_log)
# what the log says is counted (test/crash/told.h)
$(B)/test/crash/faults_test $(B)/test/crash/flip_test: LDFLAGS_ALL += -Wl,--wrap=diag
## faults: every call site of every script fails once, in every way; FAULT_SCRIPT= FAULT_KIND= FAULT_SITE= narrow
faults: $(B)/test/crash/faults_test
	$(Q)FAULT_STRIDE=1 $<
.PHONY: faults
## flip: every bit and every length of directories' files (a quarter of an hour; LARGE=1: of two of 1 MiB, both at once, each of an hour and a half), STRIDE=p each pth, ONLY=killed FILES=.idx narrow
flip: $(B)/test/crash/flip_test $(B)/test/replay/flip_views_test
	$(Q)export FLIP_STRIDE=$(or $(STRIDE),1) $(if $(LARGE),FLIP_LARGE=1) $(if $(ONLY),FLIP_ONLY=$(ONLY)) $(if $(FILES),FLIP_FILES=$(FILES)); \
	  $(if $(and $(LARGE),$(if $(ONLY),,all)),FLIP_ONLY=clean_directory $< & FLIP_ONLY=killed_directory $<; rc=$$?; wait $$! && exit $$rc, \
	  $< $(if $(LARGE)$(ONLY)$(FILES),,&& $(B)/test/replay/flip_views_test))
.PHONY: flip
## golden: write the kept files of the log's format anew (log/FORMAT.md says when that is right)
GOLDENS := $(B)/test/log/golden_test $(B)/test/log/dump_test $(B)/test/replay/golden_dir_test
golden: $(GOLDENS)
	$(Q)for t in $(GOLDENS); do KAPPA_GOLDEN_WRITE=1 test/run.sh $$t || exit 1; done
.PHONY: golden
# mutants: known-bad builds of one file each (test/crash/mutants.txt), linked before the archive
MUTANTS := $(shell sed -n 's/^mutant \([a-z_]*\) .*/\1/p' test/crash/mutants.txt)
MUTANT_PROGRAMS := $(MUTANTS:%=$(B)/mutant/%/crash)
$(MUTANT_PROGRAMS): $(B)/mutant/%/crash: test/crash/mutants.txt test/crash/mutate.py \
    $(B)/obj/test/crash/crash_main.o $(B)/libcrash.a $(B)/libtest.a $(A_log)
	@mkdir -p $(@D)
	$(Q)python3 test/crash/mutate.py $* $(@D)/mutant.c
	$(call say,MUTANT,$*)$(CC) $(CFLAGS_ALL) -w -c -o $(@D)/mutant.o $(@D)/mutant.c
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(@D)/mutant.o $(B)/obj/test/crash/crash_main.o $(B)/libcrash.a \
	  $(B)/libtest.a $(A_log) -lcmocka $(L_log)
$(B)/test/crash/crash_mutants_test: $(MUTANT_PROGRAMS) $(B)/test/crash/crash_main
## crash: enumerate power cuts: STATES=1e9 of them, or SECONDS=n of CPU time of each process; SEED=n to begin with, JOBS=n processes (one per processor)
crash: $(B)/test/crash/crash_main
	$(Q)CRASH_JOBS=$(or $(JOBS),0) $< $(or $(STATES),1e9) $(or $(SECONDS),0) $(or $(SEED),1)
.PHONY: crash
$(B)/test/base/json_peer_test: L_base += -ljson-c
# system calls that are bent at link time
$(B)/test/base/io_fault_test: LDFLAGS_ALL += $(foreach f,pread pwrite preadv pwritev pwritev2 \
  fdatasync fsync ftruncate,-Wl,--wrap=$f)
# the native door's peer is nng itself
$(B)/test/broker/native_test: L_broker += -lnng
# ---- simulation: the whole server in one thread, see test/README.md
SIM := $(B)/test/sim/sim
export KAPPA_COMMIT := $(shell git describe --always --dirty 2>/dev/null)
# known-bad servers are made at link time (test/sim/mutant.h): the product has no switch for them
SIM_WRAP := $(foreach f,recovery_frame feed_batch producers_check log_partition_status \
  log_scan_next log_table_put txns_end txns_stable_end log_commit compact_map_get \
  catalog_put_partition scrub_read gap_row_write fsck_find log_topic_submit version_dead \
  journal_entry_check,-Wl,--wrap=$f)
$(SIM) $(TEST_sim): LDFLAGS_ALL += $(SIM_WRAP)
$(SIM): $(B)/obj/test/sim/main.o $(A_sim)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -o $@ $< $(A_sim) $(L_sim)
# the whole program with the same wrappers, for what real clients must see (test/e2e/history_test.py)
BAD_KAPPA := $(B)/test/sim/kappa
$(BAD_KAPPA): LDFLAGS_ALL += $(SIM_WRAP)
$(BAD_KAPPA): $(B)/obj/tools/main.o $(B)/obj/test/sim/mutant_program.o $(B)/obj/test/sim/mutant.o $(B)/libtest.a $(A_tools)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(L_tools)
## sim: SEED=n replays one seed with its trace, SEEDS=a..b runs many (SIM_FLAGS="-j 2 -t SECONDS")
sim: $(SIM)
	$(Q)$(SIM) $(SIM_FLAGS) $(or $(SEED),$(SEEDS),1..2000)
.PHONY: sim
# test/e2e/*_test.py|sh: TAP on stdout, the program under test in $KAPPA.
E2E := $(sort $(wildcard test/e2e/*_test.py test/e2e/*_test.sh))

## coverage: lines and branches of log/ that its tests take, worst file first (CONFIG=cov, some minutes; T=PATTERN narrows)
coverage:
	$(Q)$(MAKE) --no-print-directory CONFIG=cov coverage-run
coverage-run: $(TEST_log) $(filter-out %_mutants_test %_states_test,$(TEST_crash))
	$(Q)find $(B) -name '*.gcda' -delete
	$(Q)KAPPA_TEST_SMALL=1 FAULT_STRIDE=11 TEST_TIMEOUT=1200 test/run.sh $(if $(T),$(foreach t,$^,$(if $(findstring $(T),$(t)),$(t))),$^); \
	  test/coverage.py $(B)/obj/log
.PHONY: coverage coverage-run
## check: every test (installs the Debian packages it misses); the last line is `N passed, N failed, N skipped`
check: deps
	$(Q)$(MAKE) --no-print-directory check-built
check-built: all $(TESTS) $(BAD_KAPPA)
	$(Q)KAPPA=$(abspath $(B)/kappa) test/run.sh $(TESTS) $(E2E)
## check-e2e: only the tests that run the real program with real clients; T=PATTERN narrows
check-e2e: all $(BAD_KAPPA)
	$(Q)KAPPA=$(abspath $(B)/kappa) test/run.sh $(if $(T),$(foreach t,$(E2E),$(if $(findstring $(T),$(t)),$(t))),$(E2E))
## kill9: kill -9 under load, CYCLES=500 times
kill9: all
	$(Q)KAPPA=$(abspath $(B)/kappa) KAPPA_KILLS=$(or $(CYCLES),500) TEST_TIMEOUT=$(or $(SECONDS),36000) \
	  test/run.sh test/e2e/kill9_test.py
## history: concurrent clients under kill -9 for SECONDS=600, and their history checked for anomalies
history: all $(BAD_KAPPA)
	$(Q)KAPPA=$(abspath $(B)/kappa) KAPPA_HISTORY_SECONDS=$(or $(SECONDS),600) TEST_TIMEOUT=36000 \
	  test/run.sh test/e2e/history_test.py
.PHONY: kill9 history
## tests: build all test programs without running them
tests: $(TESTS)

# ---- demo ----------------------------------------------------------------------------------------
## demo: install what is missing, build, tell the story with real commands (DEMO=keep leaves the server up)
demo: deps-build
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(B)/kappa demo && $(B)/kappa demo fix; rc=$$?; \
	  if [ "$(DEMO)" = keep ] && [ $$rc = 0 ]; then :; else $(B)/kappa demo stop || rc=1; fi; exit $$rc
.PHONY: demo deps-build

## bench-ops: rows per second of the operators (CONFIG=release)
bench-ops: $(B)/test/processor/ops_bench
	$(Q)$<
$(B)/test/processor/ops_bench: $(B)/obj/test/processor/ops_bench.o $(B)/libtest.a $(A_proc)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -o $@ $< $(B)/libtest.a $(A_proc) -lcmocka $(L_proc)
.PHONY: bench-ops

BENCH_DECODE := $(B)/test/processor/decode_bench
BENCH_DECODE_OBJ := $(B)/obj/test/processor/decode_bench.o $(B)/obj/tools/quakes.o
$(BENCH_DECODE): $(BENCH_DECODE_OBJ) $(B)/libtest.a $(A_proc)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -o $@ $(BENCH_DECODE_OBJ) $(B)/libtest.a $(A_proc) -lcmocka $(L_proc)
## bench-decode: time and instructions from a record of a batch to its row (valgrind; CONFIG=release)
bench-decode: $(BENCH_DECODE)
	$(Q)$(BENCH_DECODE)
	$(Q)valgrind --tool=callgrind --callgrind-out-file=$(BENCH_DECODE).callgrind \
	  --toggle-collect='decode_all*' $(BENCH_DECODE) 1 2>&1 | \
	  awk '/records of/ { n = $$1 } /Collected/ { printf "%.0f instructions per record\n", $$NF / n }'
.PHONY: bench-decode

LOG_BENCH := $(B)/test/log/log_bench
$(LOG_BENCH): $(B)/obj/test/log/log_bench.o $(A_log)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -o $@ $< $(A_log) $(L_log)
## bench-log: the log engine beside fio on BENCH_DIR (/var/tmp); ROWS=append,scan,... narrows, READY=1 adds kill -9 with 10 GB
bench-log: $(LOG_BENCH)
	$(Q)test/log/bench_log.py $(LOG_BENCH) $(or $(BENCH_DIR),/var/tmp) $(if $(ROWS),--rows $(ROWS)) $(if $(READY),--ready)
.PHONY: bench-log
# what is said of our own build on make's command line (CC="ccache gcc") is not for what others build
FOREIGN := env -u CC -u CXX -u CFLAGS -u LDFLAGS -u MAKEFLAGS -u MAKEOVERRIDES
## bench-broker: the Kafka door beside Apache Kafka (scripts in PEERS=../shared/peers), 6 to 15 minutes; ROUNDS=1, ONLY=latency,flood,... BENCH_DIR=
bench-broker: all
	$(Q)$(FOREIGN) test/e2e/bench_broker.py $(B)/kappa --peers $(or $(PEERS),../shared/peers) --dir $(or $(BENCH_DIR),/var/tmp) \
	  --rounds $(or $(ROUNDS),1) $(if $(ONLY),--only $(ONLY))
.PHONY: bench-broker

$(B)/test/broker/codec_peer: $(B)/obj/test/broker/codec_peer.o $(B)/libtest.a $(A_broker)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -o $@ $< $(B)/libtest.a $(A_broker) $(L_broker)
ifneq ($(filter codec,$(or $(S),codec)),)
conform: $(B)/test/broker/codec_peer
endif
## conform: other people's clients and suites against the server, fetched and built outside the tree; S=SUITE T=CASE narrow
conform: all
	$(Q)rc=0; for s in $(if $(S),test/conform/$(S)_test.sh,$(sort $(wildcard test/conform/*_test.sh))); do \
	  KAPPA=$(abspath $(B)/kappa) T=$(T) $(FOREIGN) bash $$s || rc=1; done; exit $$rc
.PHONY: conform

# ---- packages ------------------------------------------------------------------------------------
## deps: install the Debian packages that building and testing need
deps:
	$(Q)tools/dev/deps.sh $(DEPS_BUILD) $(DEPS_TEST)
deps-build:
	$(Q)tools/dev/deps.sh $(DEPS_BUILD)
## deps-dev: the packages of make lint, format and the benchmarks
deps-dev:
	$(Q)tools/dev/deps.sh $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_DEV)

# ---- house ---------------------------------------------------------------------------------------
## tidy: include DAG, file and function sizes, banned calls, references in documents
tidy:
	$(Q)tools/dev/tidy.sh
## format: rewrite the C files as .clang-format says
format:
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i
## lint: clang-tidy and cppcheck, silent when clean (ten minutes on two cores); tools/dev/lint.sh gives reasons
lint: $(GEN_HEADERS)
	$(Q)tools/dev/lint.sh $(CFLAGS_ALL)
## clean: remove build/
clean:
	rm -rf build
## help: this list
help:
	@grep -hE '^## ' Makefile | sed -E 's/^## ([^:]*): */  \1\t/' | expand -t 20
.PHONY: all check check-built check-e2e tests deps deps-build deps-dev tidy format lint clean help

# ---- sanitizers ------------------------------------------------------------------------------------
# The timed and the long ones stay out: their names end in _timed_test, or they measure.
## check-asan: with CONFIG=asan: all tests but the timed ones
check-asan: all $(TESTS) $(BAD_KAPPA)
	$(Q)KAPPA=$(abspath $(B)/kappa) KAPPA_TEST_SMALL=1 test/run.sh $(filter-out %_timed_test,$(TESTS)) \
	  $(filter-out %_timed_test.py %_timed_test.sh,$(E2E))
.PHONY: check-asan
