# Hostile input: make fuzz [TARGETS="wire object"] [FUZZ_RUNS=N | FUZZ_SECONDS=N]; see docs/fuzzing.md.
FUZZ_TARGETS  := $(filter-out check,$(patsubst fuzz/%.lua,%,$(wildcard fuzz/*.lua)))
FUZZ_SANITIZE := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
TARGETS       ?= $(FUZZ_TARGETS)

# libbpf's way to the kernel and Lua's to a seed are the program's own.
$(BUILD)/fuzzer: $(call object_files,fuzz/main.c fuzz/kernel.c $(DAEMON_C)) $(CORE_O)
	$(CC) -fsanitize=fuzzer $(SANITIZE) $(LDFLAGS) -Wl,--export-dynamic-symbol=syscall,--export-dynamic-symbol=time,--export-dynamic-symbol=getrandom \
		-o $@ $^ $(call pkg,libs,$(CORE_LIBRARIES) sqlite3)

# What is compared and covered here is no target's.
$(call object_files,fuzz/main.c fuzz/kernel.c): override CFLAGS += -fno-sanitize=fuzzer-no-link

.PHONY: fuzz
fuzz:
	@scripts/deps.sh fuzz
	+@$(MAKE) --no-print-directory -j$(shell nproc) BUILD=$(BUILD)/fuzz CC=$(CLANG) CFLAGS="-O1 -g" WARNINGS=-Wall \
		SANITIZE="$(FUZZ_SANITIZE)" $(BUILD)/fuzz/fuzzer
	@BUILD="$(BUILD)" FUZZ_RUNS="$(FUZZ_RUNS)" FUZZ_SECONDS="$(FUZZ_SECONDS)" fuzz/run.sh $(TARGETS)
