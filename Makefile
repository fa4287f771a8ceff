# bpfd: `make demo` and `make test` do everything on a fresh Debian machine; see README.md.
PREFIX   ?= /usr/local
DESTDIR  ?=
BUILD    ?= build
VERSION  := 0.1.0
CC       ?= gcc
CLANG    ?= clang
LUA      ?= lua5.4
CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Werror

CORE_LIBRARIES  := libbpf libelf libnl-3.0 libnl-route-3.0 libmd json-c lua5.4
LIGHT_LIBRARIES := libmd json-c lua5.4
pkg = $(shell pkg-config --$(1) $(2))

override CFLAGS += -std=gnu11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' $(WARNINGS) -fPIC -I. -Icore -Ibindings \
	$(call pkg,cflags,$(CORE_LIBRARIES) sqlite3) $(SANITIZE)

MAINS     := core/host.c core/bpfd.c core/bpfctl.c core/embedded.c core/embedding.c
DAEMON_C  := core/database.c bindings/database.c
CORE_C    := $(filter-out $(MAINS) $(DAEMON_C),$(wildcard core/*.c core/chain/*.c))
BINDING_C := $(filter-out $(DAEMON_C),$(wildcard bindings/*.c))
LUA_FILES := $(shell find lua -name '*.lua' | sort)
LIGHT_C   := $(wildcard core/socket.c core/system.c core/process.c core/digest.c core/shared_library.c core/terminal.c core/line_editor.c \
	core/interrupt.c bindings/socket.c bindings/system.c bindings/process.c bindings/terminal.c bindings/interrupt.c bindings/json.c bindings/json_encode.c \
	bindings/error.c bindings/descriptor.c bindings/table.c)
object_files = $(patsubst %.c,$(BUILD)/%.o,$(1))

LINT_LUA := lua spec scripts examples fuzz
SPEC_ENV  = LUA_PATH="$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;$(CURDIR)/?.lua;;" \
	    LUA_CPATH="$(abspath $(BUILD))/?.so;;" BUILD="$(abspath $(BUILD))"

SPEC_OBJECTS    := $(patsubst spec/objects/%.bpf.c,$(BUILD)/objects/%.o,$(wildcard spec/objects/*.bpf.c))
EXAMPLE_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(shell find examples -name '*.c' -not -path 'examples/embed/*'))
OWN_BPF_C       := $(patsubst bpf/%.bpf.c,$(BUILD)/bpf/%.embed.c,$(wildcard bpf/*.bpf.c))

.PHONY: all clean install install-module lint module objects uninstall
.DELETE_ON_ERROR:
.SECONDARY:

all: module $(BUILD)/bpfd_database.so $(BUILD)/bpfd $(BUILD)/bpfctl $(BUILD)/libbpfd.a $(EXAMPLE_OBJECTS)
module: $(BUILD)/bpf/core.so

CORE_O := $(call object_files,$(CORE_C) $(BINDING_C)) $(OWN_BPF_C:.c=.o)

$(BUILD)/bpf/core.so: $(CORE_O)
	@mkdir -p $(@D)
	$(CC) -shared $(SANITIZE) $(LDFLAGS) -o $@ $^ $(filter-out -llua%,$(call pkg,libs,$(CORE_LIBRARIES)))

# What bpfd has beside the core, as a module of its own: for plain Lua, which is to say for specs.
$(BUILD)/bpfd_database.so: $(call object_files,$(DAEMON_C) bindings/error.c)
	$(CC) -shared $(SANITIZE) $(LDFLAGS) -o $@ $^ $(call pkg,libs,sqlite3)

$(BUILD)/bpfd: $(call object_files,core/bpfd.c core/host.c core/embedded.c $(DAEMON_C)) $(BUILD)/embedded-bpfd.o $(CORE_O)
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(call pkg,libs,$(CORE_LIBRARIES) sqlite3)

# For programs that embed Lua: one object, in which luaopen_bpf is the only name that others can see.
$(BUILD)/libbpfd.a: $(call object_files,core/embedding.c core/embedded.c) $(BUILD)/embedded-library.o $(CORE_O)
	$(LD) -r -o $(BUILD)/library.o $^
	objcopy --keep-global-symbol=luaopen_bpf $(BUILD)/library.o
	rm -f $@ && $(AR) rcs $@ $(BUILD)/library.o

$(BUILD)/bpfctl: $(call object_files,core/bpfctl.c core/host.c core/embedded.c $(LIGHT_C)) $(BUILD)/embedded-bpfctl.o
	$(CC) $(SANITIZE) $(LDFLAGS) -Wl,--export-dynamic-symbol=interrupt_pending,--export-dynamic-symbol=interrupt_poll -o $@ $^ \
		$(call pkg,libs,$(LIGHT_LIBRARIES))

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: $(BUILD)/%.c
	$(CC) $(CFLAGS) -c -o $@ $<

# The whole of lua/ as bytecode; bpfctl does not carry the daemon, nor bpfd the command line.
$(BUILD)/embedded-bpfd.c: scripts/embed.lua $(LUA_FILES)
	@mkdir -p $(@D)
	$(LUA) scripts/embed.lua lua $(filter-out lua/bpfctl/%,$(LUA_FILES)) >$@
$(BUILD)/embedded-bpfctl.c: scripts/embed.lua $(LUA_FILES)
	@mkdir -p $(@D)
	$(LUA) scripts/embed.lua lua $(filter-out lua/bpfd/%,$(LUA_FILES)) >$@
$(BUILD)/embedded-library.c: scripts/embed.lua $(LUA_FILES)
	@mkdir -p $(@D)
	$(LUA) scripts/embed.lua lua $(filter lua/bpf/%,$(LUA_FILES)) >$@

# BPF programs: ours (embedded into core), the specs' and the examples.
BPF_TARGET  = $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))
BPF_CFLAGS  = -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_TARGET) -Wall -Werror -I/usr/include/$(shell $(CC) -print-multiarch)
define compile_bpf
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
endef
$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	$(compile_bpf)
$(BUILD)/bpf/%.embed.c: $(BUILD)/bpf/%.bpf.o scripts/embed.lua
	$(LUA) scripts/embed.lua --bytes $(subst -,_,$*)_object $< >$@
$(BUILD)/objects/%.o: spec/objects/%.bpf.c
	$(compile_bpf)
$(BUILD)/examples/%.o: examples/%.c
	$(compile_bpf)
$(BUILD)/objects/%_no_btf.o: BPF_CFLAGS += -g0
# Preloaded into the daemon of a spec that makes its system calls fail.
$(BUILD)/spec/%.so: spec/support/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -O1 $(WARNINGS) -fPIC -shared -o $@ $<
objects: $(SPEC_OBJECTS) $(EXAMPLE_OBJECTS) $(BUILD)/spec/fault.so $(BUILD)/spec/early_signal.so

# What a fresh machine runs first, so each begins with what is missing. Everything behind deps.sh is in a make of its own
# because only that one can ask pkg-config and gcc.
BUILD_ALL = +@$(MAKE) --no-print-directory -j$(shell nproc) BUILD=$(BUILD) all objects
.PHONY: test asan valgrind specs demo bench soak test-faults test-traffic
# SPECS="spec/kernel --filter=..." runs a part. All of it boots a stock kernel for some specs (spec/vm/smoke.lua), fuzzes, and
# ends with five minutes of everything at random, from seed 1.
test:
	@scripts/deps.sh test
	$(BUILD_ALL)
	+$(if $(SPECS),,@$(MAKE) --no-print-directory fuzz)
	@$(MAKE) --no-print-directory specs $(if $(SPECS),,SPECS='--smoke --soak')
# The same specs on a build with sanitizers; core.so in plain Lua needs their run time preloaded.
ASAN     := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ASAN_ENV  = LD_PRELOAD="$(shell $(CC) -print-file-name=libasan.so) $(shell $(CC) -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0:allocator_may_return_null=1 \
	    UBSAN_OPTIONS=print_stacktrace=1 SPEC_PATIENCE=10 \
	    SPEC_SECONDS=3600
asan:
	@scripts/deps.sh test
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE="$(ASAN)" all objects
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan specs SPEC_SANITIZER='$(ASAN_ENV)'
# The bindings' specs, under valgrind and a collector that leaves nothing that is not held.
# Not for values that nobody has set: valgrind does not know what most commands of bpf(2) write. Nor does it know fsopen(2),
# which is how tracefs is reached: specs of links are not among them.
VALGRIND  = valgrind -q --error-exitcode=99 --undef-value-errors=no --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
	    --keep-debuginfo=yes --num-callers=25 --suppressions=spec/valgrind.supp
valgrind:
	@scripts/deps.sh test valgrind
	$(BUILD_ALL)
	@$(MAKE) --no-print-directory specs SPEC_SANITIZER='SPEC_UNDER="$(VALGRIND)" SPEC_PATIENCE=20 SPEC_SECONDS=3600 \
		LUA_INIT=@spec/support/collector.lua' SPECS="$(or $(SPECS),$(VALGRIND_SPECS))"
VALGRIND_SPECS := $(patsubst %,spec/%_spec.lua,chain database error image_layer image_signature layout object_helpers sandbox \
	socket kernel/chain_fuse kernel/map kernel/map_types kernel/object kernel/program)
# Every system call of every operation fails once, for want of room where that is a reason, and is once the last of its
# job and of the daemon; prints how many that were.
FAULTS = spec/kernel/fault_spec.lua spec/kernel/fault_change_spec.lua spec/kernel/fault_image_spec.lua \
	 spec/kernel/fault_start_spec.lua spec/kernel/fault_boot_spec.lua
test-faults: # FAULTS="spec/kernel/fault_spec.lua --filter=..." walks a part
	@scripts/deps.sh test
	$(BUILD_ALL)
	@report=$$(mktemp); status=0; \
	BPFD_FAULTS=all BPFD_FAULTS_REPORT=$$report SPEC_SECONDS=86400 $(MAKE) --no-print-directory specs \
	    SPECS="$(FAULTS)" || status=$$?; \
	awk '{ print; points += $$1 } END { print "fault points walked: " points + 0 }' $$report; \
	rm -f $$report; exit $$status
# A thousand changes of a chain under all the traffic that can be sent: every packet meets one whole chain.
CHANGES = 1000
test-traffic:
	@scripts/deps.sh test
	$(BUILD_ALL)
	@report=$$(mktemp); status=0; \
	BPFD_TRAFFIC_CHANGES=$(CHANGES) BPFD_TRAFFIC_REPORT=$$report SPEC_SECONDS=86400 $(MAKE) --no-print-directory specs \
	    SPECS=spec/kernel/daemon_traffic_spec.lua || status=$$?; \
	cat $$report; rm -f $$report; exit $$status
specs:
	@$(SPEC_SANITIZER) $(SPEC_ENV) $(LUA) spec/run.lua $(SPECS)
demo:
	@scripts/deps.sh demo
	$(BUILD_ALL)
	@$(SPEC_ENV) $(LUA) scripts/demo.lua
bench:
	@scripts/deps.sh bench
	$(BUILD_ALL)
	@$(SPEC_ENV) $(LUA) scripts/bench.lua

soak: # SOAK_SECONDS=600 SOAK_SEED=2; an hour by itself, and a minute of 64 clients before it
	@scripts/deps.sh test
	$(BUILD_ALL)
	@SOAK_LOAD_SECONDS=$${SOAK_LOAD_SECONDS:-60} $(SPEC_ENV) $(LUA) scripts/soak.lua

# The module alone, for LuaRocks and `install`.
INST_LUADIR = $(DESTDIR)$(abspath $(PREFIX))/share/lua/5.4
INST_LIBDIR = $(DESTDIR)$(abspath $(PREFIX))/lib/lua/5.4
install-module: module
	install -D -m 0755 $(BUILD)/bpf/core.so "$(INST_LIBDIR)/bpf/core.so"
	cd lua && find bpf -name '*.lua' -exec install -D -m 0644 {} "$(abspath $(INST_LUADIR))/{}" \;

INSTALLED = $(DESTDIR)$(abspath $(PREFIX))
install: all install-module
	install -D -m 0755 $(BUILD)/bpfd $(INSTALLED)/sbin/bpfd
	install -D -m 0755 $(BUILD)/bpfctl $(INSTALLED)/bin/bpfctl
	install -D -m 0644 $(BUILD)/libbpfd.a $(INSTALLED)/lib/libbpfd.a
	install -D -m 0644 include/bpfd.h $(INSTALLED)/include/bpfd.h
	install -d $(INSTALLED)/share/man/man1 $(INSTALLED)/share/man/man8
	$(SPEC_ENV) $(LUA) scripts/man.lua bpfctl $(VERSION) >$(INSTALLED)/share/man/man1/bpfctl.1
	$(SPEC_ENV) $(LUA) scripts/man.lua bpfd $(VERSION) >$(INSTALLED)/share/man/man8/bpfd.8
	install -D -m 0644 docs/luacats/bpf.lua $(INSTALLED)/share/bpfd/luacats/bpf.lua
	install -d $(INSTALLED)/lib/pkgconfig
	sed 's|@VERSION@|$(VERSION)|; s|@LIBRARIES@|$(CORE_LIBRARIES)|' \
		include/bpfd.pc.in >$(INSTALLED)/lib/pkgconfig/bpfd.pc
	install -d $(addprefix $(INSTALLED)/share/,bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	$(BUILD)/bpfctl completion bash >$(INSTALLED)/share/bash-completion/completions/bpfctl
	$(BUILD)/bpfctl completion zsh >$(INSTALLED)/share/zsh/site-functions/_bpfctl
	$(BUILD)/bpfctl completion fish >$(INSTALLED)/share/fish/vendor_completions.d/bpfctl.fish
	cd $(BUILD)/examples && find . -name '*.o' -exec install -D -m 0644 {} $(INSTALLED)/share/bpfd/examples/{} \;
	cd examples && find . -type f -not -name '*.c' -exec install -D -m 0644 {} $(INSTALLED)/share/bpfd/examples/{} \;

# What install has put there.
uninstall:
	cd $(INSTALLED) && rm -rf sbin/bpfd bin/bpfctl lib/lua/5.4/bpf share/lua/5.4/bpf share/bpfd lib/libbpfd.a \
		include/bpfd.h lib/pkgconfig/bpfd.pc share/bash-completion/completions/bpfctl \
		share/zsh/site-functions/_bpfctl share/fish/vendor_completions.d/bpfctl.fish \
		share/man/man1/bpfctl.1 share/man/man8/bpfd.8

# The page on the Lua API, and what editors know of it, from the annotations in lua/bpf.
.PHONY: docs
docs:
	$(LUA) scripts/api.lua

lint:
	luacheck --quiet $(LINT_LUA)
	$(LUA) scripts/api.lua --check
	$(MAKE) --no-print-directory BUILD=$(BUILD) all objects
	clang-format --dry-run -Werror $(filter-out $(wildcard bindings/namespaces.h), \
		$(wildcard core/*.[ch] core/chain/*.[ch] bindings/*.[ch] fuzz/*.[ch] include/*.h bpf/*.bpf.c examples/embed/*.c) $(EXAMPLE_OBJECTS:$(BUILD)/%.o=%.c))

clean:
	rm -rf $(BUILD)

-include scripts/vm/*.mk
-include fuzz/fuzz.mk
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
