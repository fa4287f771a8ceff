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

CORE_LIBRARIES  := libbpf libelf libnl-3.0 libnl-route-3.0 sqlite3 lua5.4
LIGHT_LIBRARIES := lua5.4
pkg = $(shell pkg-config --$(1) $(2))

override CFLAGS += -std=gnu11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' $(WARNINGS) -fPIC -I. -Icore -Ibindings \
	$(call pkg,cflags,$(CORE_LIBRARIES)) $(SANITIZE)

MAINS     := core/host.c core/bpfd.c core/bpfctl.c
CORE_C    := $(filter-out $(MAINS),$(wildcard core/*.c core/chain/*.c))
BINDING_C := $(wildcard bindings/*.c)
LUA_FILES := $(shell find lua -name '*.lua' | sort)
LIGHT_C   := core/socket.c core/system.c bindings/socket.c bindings/system.c bindings/error.c
object_files = $(patsubst %.c,$(BUILD)/%.o,$(1))
