/* This machine as filters of system calls know it; not defined where it has no name here. */
#ifndef CORE_ARCHITECTURE_H
#define CORE_ARCHITECTURE_H

#include <linux/audit.h>

#if defined(__x86_64__)
#define SECCOMP_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SECCOMP_ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define SECCOMP_ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define SECCOMP_ARCHITECTURE AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define SECCOMP_ARCHITECTURE AUDIT_ARCH_PPC64LE
#endif

#endif
