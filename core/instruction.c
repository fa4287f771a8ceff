#include <elf.h>
#include <stdint.h>
#include <capstone/capstone.h>

#include "core/instruction.h"
#include "core/shared_library.h"

#define AARCH64_LENGTH 4

#define CAPSTONE_FUNCTIONS(X) X(cs_open) X(cs_malloc) X(cs_disasm_iter)

struct disassembler {
	struct {
		CAPSTONE_FUNCTIONS(LIBRARY_MEMBER)
	};
	csh handle;
	cs_insn *instruction; /* its layout differs between versions: never looked into */
};

static const struct disassembler *open_x86(void)
{
	static const char *const names[] = {"libcapstone.so.4", "libcapstone.so.5", NULL};
	static const char *const functions[] = {CAPSTONE_FUNCTIONS(LIBRARY_NAME) NULL};
	static struct disassembler found;
	static const struct disassembler *opened;

	if (opened)
		return opened;
	if (shared_library_open(names, functions, &found) ||
	    found.cs_open(CS_ARCH_X86, CS_MODE_64, &found.handle) != CS_ERR_OK)
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
