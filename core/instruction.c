#include <dlfcn.h>
#include <elf.h>
#include <stdint.h>
#include <capstone/capstone.h>

#include "core/instruction.h"

#define AARCH64_LENGTH 4

#define CAPSTONE_FUNCTIONS(X) X(cs_open) X(cs_malloc) X(cs_disasm_iter)

struct disassembler {
#define DECLARE_FUNCTION(name) __typeof__(name) *name;
	CAPSTONE_FUNCTIONS(DECLARE_FUNCTION)
#undef DECLARE_FUNCTION
	csh handle;
	cs_insn *instruction; /* its layout differs between versions: never looked into */
};

static const struct disassembler *open_x86(void)
{
	static const char *const names[] = {"libcapstone.so.4", "libcapstone.so.5"};
	static struct disassembler found;
	static const struct disassembler *opened;
	void *library = NULL;

	if (opened)
		return opened;
	for (size_t i = 0; !library && i < sizeof(names) / sizeof(*names); i++)
		library = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return NULL;
#define FIND_FUNCTION(name)                                                                        \
	found.name = (__typeof__(found.name))dlsym(library, #name);                                \
	if (!found.name)                                                                           \
		return NULL;
	CAPSTONE_FUNCTIONS(FIND_FUNCTION)
#undef FIND_FUNCTION
	if (found.cs_open(CS_ARCH_X86, CS_MODE_64, &found.handle) != CS_ERR_OK)
		return NULL;
	found.instruction = found.cs_malloc(found.handle);
	if (found.instruction)
		opened = &found;
	return opened;
}

static size_t x86_length(const unsigned char *code, size_t size)
{
	const struct disassembler *x86 = open_x86();
	const uint8_t *after = code;
	uint64_t address = 0;

	if (!x86 || !x86->cs_disasm_iter(x86->handle, &after, &size, &address, x86->instruction))
		return 0;
	return (size_t)(after - code);
}

size_t instruction__length(unsigned int machine, const unsigned char *code, size_t size)
{
	switch (machine) {
	case EM_X86_64:
		return x86_length(code, size);
	case EM_AARCH64:
		return size < AARCH64_LENGTH ? 0 : AARCH64_LENGTH;
	default:
		return 0;
	}
}
