/* The BTF of a fused program: without it tools refuse to look at it, and callbacks and tail calls
 * do not load. */
#ifndef CORE_CHAIN_TYPES_H
#define CORE_CHAIN_TYPES_H

#include "core/chain/chain.h"
#include "core/chain/emit.h"
#include "core/prepared.h"

/*
 * Loads a BTF for the emitted functions and fills `info`, which has room for function_cnt + 1, the
 * main function first. Returns the descriptor or -errno.
 */
int types__load(const struct chain *chain, const struct segment_code *code,
		struct function_info *info);

#endif
