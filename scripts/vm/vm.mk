# The test VM: a stock Debian kernel under qemu over this machine's own root. KERNEL=6.1, 6.12 or 7.
KERNEL   ?= 6.1
VM_SPECS ?= spec/kernel
VM_RUN   ?= $(SPEC_ENV) $(LUA) -e 'require "busted.runner" { standalone = false }' /dev/null $(VM_SPECS)

.PHONY: test-vm vm-shell
test-vm: all objects
	@scripts/vm/run.sh $(KERNEL) '$(subst ','\'',$(VM_RUN))'

vm-shell: all objects
	@scripts/vm/run.sh $(KERNEL)
