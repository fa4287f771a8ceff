# The test VM: a stock Debian kernel (KERNEL=6.1, 6.12 or 7) under qemu over this machine's own root.
KERNEL  ?= 6.1
KERNELS ?= 6.1 6.12 7
# VM_ENV="BPFD_CHAINS=3000": variables for the specs inside; SPEC_DIVISOR: what they repeat is repeated less often
VM_ENV ?= BPFD_CHAINS=100 SPEC_DIVISOR=4
# XDP_TOOLS=trixie or forky: another suite's xdp-loader than the installed one for the specs of libxdp
XDP_LOADER = $(if $(XDP_TOOLS),BPFD_XDP_LOADER=$$(scripts/vm/xdp-tools.sh $(XDP_TOOLS)))
# What specs start all the time, and a bench without waiting for this machine.
RESIDENT = scripts/vm/resident.sh sh lua5.4 nsenter ip tc bpftool xdp-loader $(abspath $(BUILD))/bpfd \
	$(abspath $(BUILD))/bpfctl $(abspath $(BUILD))/bpf/core.so
# One core's worth of emulation: specs one after the other, with patience.
VM_SPECS = $(RESIDENT); $(VM_ENV) $(XDP_LOADER) SPEC_JOBS=1 SPEC_SECONDS=1800 SPEC_PATIENCE=10 $(SPEC_ENV) $(LUA) spec/run.lua $(or $(SPECS),spec/kernel)

.PHONY: test-vm test-kernels test-machine vm-shell bench-vm
test-vm: # SPECS="spec/kernel/chain_freplace_spec.lua" runs a part
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@$(if $(XDP_TOOLS),scripts/vm/xdp-tools.sh $(XDP_TOOLS) >/dev/null)
	@VM_TIMEOUT=$${VM_TIMEOUT:-14400} scripts/vm/run.sh $(KERNEL) '$(VM_SPECS)'

test-kernels: # KERNELS="6.1 7" runs some; the VM itself is proven first
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@$(SPEC_ENV) $(LUA) spec/run.lua spec/vm/machine_spec.lua
	@VM_TIMEOUT=$${VM_TIMEOUT:-14400} $(LUA) scripts/vm/matrix.lua '$(VM_SPECS)' $(KERNELS)

# Virtual time counts instructions, whatever else this machine does.
bench-vm:
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@VM_TIMEOUT=$${VM_TIMEOUT:-1800} VM_CPUS=1 VM_OPTIONS='-icount shift=0,sleep=off' \
		scripts/vm/run.sh $(KERNEL) '$(RESIDENT); SPEC_PATIENCE=100 $(SPEC_ENV) $(LUA) scripts/vm/bench.lua'

test-machine: # the test VM itself, bpfd installed as a systemd service in one, and one that loses its power
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@KERNEL=$(KERNEL) SPEC_JOBS=1 SPEC_SECONDS=2400 $(SPEC_ENV) $(LUA) spec/run.lua spec/vm/*_spec.lua

vm-shell:
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@scripts/vm/run.sh $(KERNEL)
