# The test VM: a stock Debian kernel (KERNEL=6.1, 6.12 or 7) under qemu over this machine's own root.
KERNEL  ?= 6.1
KERNELS ?= 6.1 6.12 7

.PHONY: test-vm vm-shell
test-vm: # SPECS="spec/kernel/chain_freplace_spec.lua" runs a part
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@scripts/vm/run.sh $(KERNEL) '$(SPEC_ENV) $(LUA) spec/run.lua $(or $(SPECS),spec/kernel)'

vm-shell:
	@scripts/deps.sh vm
	$(BUILD_ALL)
	@scripts/vm/run.sh $(KERNEL)
