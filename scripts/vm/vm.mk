# The test VM: a stock Debian kernel (KERNEL=6.1, 6.12 or 7) under qemu over this machine's own root.
KERNEL  ?= 6.1
KERNELS ?= 6.1 6.12 7
# VM_ENV="BPFD_CHAINS=3000": variables for the specs inside
VM_ENV ?= BPFD_CHAINS=100
# One core's worth of emulation: specs one after the other, with patience.
VM_SPECS = $(VM_ENV) SPEC_JOBS=1 SPEC_SECONDS=900 $(SPEC_ENV) $(LUA) spec/run.lua $(or $(SPECS),spec/kernel)

.PHONY: test-vm test-kernels test-machine vm-shell
test-vm: # SPECS="spec/kernel/chain_freplace_spec.lua" runs a part
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@VM_TIMEOUT=$${VM_TIMEOUT:-3600} scripts/vm/run.sh $(KERNEL) '$(VM_SPECS)'

test-kernels: # KERNELS="6.1 7" runs some
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@VM_TIMEOUT=$${VM_TIMEOUT:-3600} $(LUA) scripts/vm/matrix.lua '$(VM_SPECS)' $(KERNELS)

test-machine: # the test VM itself, and bpfd installed as a systemd service in one
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@KERNEL=$(KERNEL) SPEC_JOBS=1 SPEC_SECONDS=1500 $(SPEC_ENV) $(LUA) spec/run.lua spec/vm/*_spec.lua

vm-shell:
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@scripts/vm/run.sh $(KERNEL)
