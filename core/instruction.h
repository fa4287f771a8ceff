/* How long machine instructions are, which tells where they begin. */
#ifndef CORE_INSTRUCTION_H
#define CORE_INSTRUCTION_H

#include <stddef.h>

/*
 * Bytes of the instruction at `code`, of which `size` bytes are there, for an ELF machine
 * (EM_X86_64, EM_AARCH64, EM_RISCV). 0 where that cannot be told: another machine, an instruction
 * that is not known, or one that is cut off.
 */
size_t instruction__length(unsigned int machine, const unsigned char *code, size_t size);

#endif
