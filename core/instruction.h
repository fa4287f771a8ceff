/* How long machine instructions are, which tells where they begin. */
#ifndef CORE_INSTRUCTION_H
#define CORE_INSTRUCTION_H

#include <stddef.h>

/*
 * Bytes of the instruction at `code`, of which `size` bytes are there, for an ELF machine. 0 where
 * that cannot be told: a machine other than EM_X86_64 and EM_AARCH64, EM_X86_64 without Capstone
 * (opened at first use), an instruction that is not known, or one that is cut off.
 */
size_t instruction__length(unsigned int machine, const unsigned char *code, size_t size);

#endif
