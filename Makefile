# stagedoor: a preconfigured-webhook gateway.
#
#   make run        install what is missing, build, serve the sample stages on 127.0.0.1:8095
#   make test       install what is missing, build, lint, unit tests (plain, ASan + UBSan, tiny limits), the model test, schemas,
#                   fuzz corpora, end-to-end tests (plain, and under ASan + UBSan), orca's own classes
#   make            build build/stagedoor
#   make deps       install what building and testing need (Debian 12 packages)
#   make lint       layers, libraries, banned functions, names, stories, format; gateway/LAYERS says what is allowed
#   make unit       unit tests only          make e2e       end-to-end tests only (T="-k name" picks)
#   make test-orca  the exported stages on orca's own classes (ORCA_WEBHOOK_JAR=… for all of them; see docs/development.md)
#   make schema     parameters against a JSON Schema validator
#   make differential  the template language beside Jinja2, and its escaping in every place (SEED=random, COUNT)
#   make model      the model test: random definitions, upstreams and faults against what a run promises (SEED=1, COUNT=20000);
#                   make model COUNT=1000000 takes a quarter of an hour; SEED=n COUNT=1 does one again and tells each step
#   make bench      figures, beside what a user would use instead
#   make fuzz-replay  every fuzzer over its corpus, once
#   make fuzz       search with every fuzzer for FUZZ_SECONDS each (default 60)
#   make crash      kill -9 at random moments under load, CRASHES times (default 500)
#   make soak       20 minutes of every kind of outcome, 2,000 starts a second; looks for growth, and for what nobody asked for
#                   (SECONDS=1200, RATE=2000)
#   make docs       make the pages anew that are made from the source
#   make format     put the sources into form
#   make install    to PREFIX (default /usr/local), under DESTDIR
#   make clean
#
# V=1 shows every command as it is run.
# Variants, each with objects of its own: make VARIANT=asan (ASan + UBSan, one heap block an arena allocation),
# make VARIANT=tiny (every limit shrunk), VARIANT=tsan (data races), VARIANT=release (the default).

VARIANT ?= release
PREFIX ?= /usr/local
CC ?= cc
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 60
BUILD ?= build
PYTHON ?= /usr/bin/python3

OUT.release = $(BUILD)
OUT.asan = $(BUILD)/asan
OUT.tiny = $(BUILD)/tiny
OUT.tsan = $(BUILD)/tsan
OUT = $(or $(OUT.$(VARIANT)),$(error VARIANT is release, asan, tiny or tsan))

VERSION := $(shell cat VERSION)

# say(what, target): one line for a command, or the command itself with V=1
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);)

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wcast-qual -Wformat=2 -Wundef -Werror
CPPFLAGS += -D_GNU_SOURCE -DSTAGEDOOR_VERSION='"$(VERSION)"' -Igateway
CFLAGS.release = -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
CFLAGS.asan = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DMEM_SINGLE
CFLAGS.tiny = -O1 -g -DTINY_LIMITS
CFLAGS.tsan = -O1 -g -fsanitize=thread
CFLAGS += -std=gnu11 -pthread $(CFLAGS.$(VARIANT))
ifeq ($(VARIANT),tsan)
export TSAN_OPTIONS ?= suppressions=$(abspath tests/tsan.supp)
endif
LDFLAGS += -pthread $(filter -fsanitize=%,$(CFLAGS.$(VARIANT)))
LIBS = -levhtp -levent -levent_pthreads -lcurl -ljansson -lconfig -lsqlite3 -lpcre2-8 -lyaml -lssl -lcrypto -lm

SOURCES := $(sort $(wildcard gateway/*/*.c))
OBJECTS = $(SOURCES:%.c=$(OUT)/obj/%.o)
UNIT_TESTS := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BINARIES = $(UNIT_TESTS:tests/unit/%.c=$(OUT)/unit/%)
FUZZERS := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINARIES = $(FUZZERS:tests/fuzz/%.c=$(BUILD)/fuzz/%)
BENCHES := $(sort $(wildcard tests/bench/*.c))
BENCH_BINARIES = $(BENCHES:tests/bench/%.c=$(BUILD)/bench/%)
FORMATTED := $(sort $(wildcard gateway/*.c gateway/*/*.[ch] tests/*/*.[ch]))

.PHONY: bench-deps bench-run all help deps docs run test test-orca lint unit schema differential fuzz-replay e2e bench fuzz crash soak format install clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(OUT)/stagedoor

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

deps:
	@packaging/install-deps

run: deps
	@$(MAKE) --no-print-directory all
	@tests/sample/run

test: deps
	@tests/run-all

$(OUT)/obj/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -MMD -MP -c -o $@ $<

# Written only when it changes: a source that is gone has to leave the library too.
$(OUT)/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(SOURCES)' | cmp -s - $@ || echo '$(SOURCES)' > $@

$(OUT)/libgateway.a: $(OBJECTS) $(OUT)/sources
	@rm -f $@
	@ar rcs $@ $(OBJECTS)

# What people run has mimalloc in place of glibc's malloc; tests and sanitizers see each block as it is.
$(BUILD)/stagedoor: LIBS += -lmimalloc
$(BUILD)/obj/gateway/main.o: CPPFLAGS += -DWITH_MIMALLOC
$(OUT)/stagedoor: $(OUT)/obj/gateway/main.o $(OUT)/libgateway.a
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(OUT)/unit/%: tests/unit/%.c $(OUT)/libgateway.a
	@mkdir -p $(@D)
	$(call say,TEST,$@)$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) $(WARNINGS) -Wno-missing-prototypes -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(OUT)/libgateway.a $(LIBS) -lcmocka

unit: $(UNIT_BINARIES)
	@tests/run-unit $(UNIT_BINARIES)

$(OUT)/docs/%: tests/docs/%.c $(OUT)/libgateway.a
	@mkdir -p $(@D)
	$(call say,TEST,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(LDFLAGS) -o $@ $< $(OUT)/libgateway.a $(LIBS)

docs: $(OUT)/docs/settings
	@tests/docs/put.py docs/definitions.md settings $(OUT)/docs/settings
	@tests/lint/run_states.py

$(OUT)/differential/render: tests/differential/render.c $(OUT)/libgateway.a
	@mkdir -p $(@D)
	$(call say,TEST,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(LDFLAGS) -o $@ $< $(OUT)/libgateway.a $(LIBS)

differential: $(OUT)/differential/render
	@RENDER=$(abspath $(OUT)/differential/render) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -rs -p no:cacheprovider tests/differential $(T)

# Fuzzers are built with clang from the sources, since coverage has to be compiled in.
$(BUILD)/fuzz/obj/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)$(FUZZ_CC) $(CPPFLAGS) -std=gnu11 -pthread -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DMEM_SINGLE -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(SOURCES:%.c=$(BUILD)/fuzz/obj/%.o)
	$(call say,LINK,$@)$(FUZZ_CC) $(CPPFLAGS) -std=gnu11 -pthread -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $^ $(LIBS)

fuzz-replay: $(FUZZ_BINARIES)
	@tests/run-fuzz replay $(FUZZ_BINARIES)

fuzz: $(FUZZ_BINARIES)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run-fuzz search $(FUZZ_BINARIES)

e2e: $(OUT)/stagedoor
	@STAGEDOOR=$(abspath $(OUT)/stagedoor) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -rs tests/e2e $(T)

test-orca: $(OUT)/stagedoor
	@packaging/install-deps deps-orca.txt
	@STAGEDOOR=$(abspath $(OUT)/stagedoor) PYTHON=$(PYTHON) PYTHONDONTWRITEBYTECODE=1 tests/orca/run $(T)

$(OUT)/schema/%: tests/schema/%.c $(OUT)/libgateway.a
	@mkdir -p $(@D)
	$(call say,TEST,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -Wno-missing-prototypes $(LDFLAGS) -o $@ $< $(OUT)/libgateway.a $(LIBS)

MODEL_SOURCES := $(sort $(wildcard tests/model/*.c))
MODEL_OBJECTS = $(MODEL_SOURCES:%.c=$(OUT)/obj/%.o)

# The world's functions stand in for the library's, so they come first.
$(OUT)/model/model: $(MODEL_OBJECTS) $(OUT)/libgateway.a
	@mkdir -p $(@D)
	$(call say,TEST,$@)$(CC) $(LDFLAGS) -Wl,--wrap=digest_random -o $@ $^ $(LIBS)

model: $(OUT)/model/model
	@COUNT=$(COUNT) SEED=$(SEED) $<

schema: $(OUT)/schema/param_table
	@PARAM_TABLE=$(abspath $<) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -rs -p no:cacheprovider tests/schema $(T)

lint: $(OUT)/libgateway.a $(OUT)/obj/gateway/main.o
	@tests/lint/lint $(OUT)

format:
	@clang-format -i $(FORMATTED)

$(BUILD)/bench/bench_postgres: CPPFLAGS += $(shell pkg-config --silence-errors --cflags libpq)
$(BUILD)/bench/bench_postgres: LIBS += -lpq

$(BUILD)/bench/%: tests/bench/%.c $(wildcard tests/bench/*.h) $(OUT)/libgateway.a
	@mkdir -p $(@D)
	$(call say,BENCH,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -Wno-missing-prototypes $(LDFLAGS) -o $@ $< $(OUT)/libgateway.a $(LIBS)

# What a user would pick instead; npm comes with some packages of Node.js and apart from others.
bench-deps: deps
	@packaging/install-deps deps-bench.txt
	@command -v npm >/dev/null || packaging/install-deps deps-bench-npm.txt || true # Node.js is told as not measured then

bench: bench-deps
	@$(MAKE) --no-print-directory bench-run

bench-run: $(OUT)/stagedoor $(BENCH_BINARIES)
	@STAGEDOOR=$(abspath $(OUT)/stagedoor) tests/bench/run

crash: $(OUT)/stagedoor
	@CRASHES=$(or $(CRASHES),500) STAGEDOOR=$(abspath $(OUT)/stagedoor) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -s -p no:cacheprovider tests/e2e/test_51_crash.py -k kills_at

soak: bench-deps
	@$(MAKE) --no-print-directory $(OUT)/stagedoor $(BUILD)/bench/load
	@STAGEDOOR=$(abspath $(OUT)/stagedoor) tests/soak/run

install: $(OUT)/stagedoor
	install -D -m 755 $(OUT)/stagedoor $(DESTDIR)$(PREFIX)/bin/stagedoor
	install -D -m 644 packaging/man/stagedoor.1 $(DESTDIR)$(PREFIX)/share/man/man1/stagedoor.1

clean:
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d) $(MODEL_OBJECTS:.o=.d) $(OUT)/obj/gateway/main.d $(UNIT_BINARIES:=.d) $(wildcard $(BUILD)/fuzz/obj/gateway/*/*.d)
