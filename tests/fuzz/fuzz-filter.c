// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * filter_run() against a twin written from the kernel's rules (net/core/filter.c,
 * kernel/seccomp.c): for a filter that the kernel takes both say the same; one that it does not
 * take may be refused or run, inside of its own memory.
 *
 * Input: struct seccomp_data, then instructions.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "agent/filter-run.h"
#include "fuzz.h"

#define MAX_CODE 256u

/* As bpf_check_classic() and seccomp_check_filter(). */
static bool code_is_taken(uint16_t code)
{
	static const uint16_t codes[] = {
		BPF_LD | BPF_W | BPF_ABS,
		BPF_LD | BPF_W | BPF_LEN,
		BPF_LDX | BPF_W | BPF_LEN,
		BPF_LD | BPF_IMM,
		BPF_LDX | BPF_IMM,
		BPF_LD | BPF_MEM,
		BPF_LDX | BPF_MEM,
		BPF_ST,
		BPF_STX,
		BPF_RET | BPF_K,
		BPF_RET | BPF_A,
		BPF_MISC | BPF_TAX,
		BPF_MISC | BPF_TXA,
		BPF_ALU | BPF_NEG,
		BPF_JMP | BPF_JA,
		BPF_ALU | BPF_ADD | BPF_K,
		BPF_ALU | BPF_ADD | BPF_X,
		BPF_ALU | BPF_SUB | BPF_K,
		BPF_ALU | BPF_SUB | BPF_X,
		BPF_ALU | BPF_MUL | BPF_K,
		BPF_ALU | BPF_MUL | BPF_X,
		BPF_ALU | BPF_DIV | BPF_K,
		BPF_ALU | BPF_DIV | BPF_X,
		BPF_ALU | BPF_AND | BPF_K,
		BPF_ALU | BPF_AND | BPF_X,
		BPF_ALU | BPF_OR | BPF_K,
		BPF_ALU | BPF_OR | BPF_X,
		BPF_ALU | BPF_XOR | BPF_K,
		BPF_ALU | BPF_XOR | BPF_X,
		BPF_ALU | BPF_LSH | BPF_K,
		BPF_ALU | BPF_LSH | BPF_X,
		BPF_ALU | BPF_RSH | BPF_K,
		BPF_ALU | BPF_RSH | BPF_X,
		BPF_JMP | BPF_JEQ | BPF_K,
		BPF_JMP | BPF_JEQ | BPF_X,
		BPF_JMP | BPF_JGE | BPF_K,
		BPF_JMP | BPF_JGE | BPF_X,
		BPF_JMP | BPF_JGT | BPF_K,
		BPF_JMP | BPF_JGT | BPF_X,
		BPF_JMP | BPF_JSET | BPF_K,
		BPF_JMP | BPF_JSET | BPF_X,
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i] == code)
			return true;
	return false;
}

static bool insn_is_taken(const struct sock_filter *f, uint32_t n_behind)
{
	if (!code_is_taken(f->code))
		return false;
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return f->k % 4 == 0 && f->k < sizeof(struct seccomp_data);
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return f->k < BPF_MEMWORDS;
	case BPF_ALU | BPF_DIV | BPF_K:
		return f->k;
	case BPF_ALU | BPF_LSH | BPF_K:
	case BPF_ALU | BPF_RSH | BPF_K:
		return f->k < 32;
	case BPF_JMP | BPF_JA:
		return f->k < n_behind;
	}
	return BPF_CLASS(f->code) != BPF_JMP || (f->jt < n_behind && f->jf < n_behind);
}

static bool filter_is_taken(const struct sock_filter *code, uint32_t n)
{
	if (!n || BPF_CLASS(code[n - 1].code) != BPF_RET)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!insn_is_taken(&code[i], n - i - 1))
			return false;
	return true;
}

/* One arithmetic instruction. False: the run ends with 0, as a division by X == 0 does. */
static bool twin_alu(uint16_t code, uint32_t *a, uint32_t v)
{
	if (BPF_OP(code) == BPF_ADD)
		*a = (uint32_t)((uint64_t)*a + v);
	else if (BPF_OP(code) == BPF_SUB)
		*a = (uint32_t)((uint64_t)*a - v);
	else if (BPF_OP(code) == BPF_MUL)
		*a = (uint32_t)((uint64_t)*a * v);
	else if (BPF_OP(code) == BPF_DIV && !v)
		return false;
	else if (BPF_OP(code) == BPF_DIV)
		*a /= v;
	else if (BPF_OP(code) == BPF_AND)
		*a &= v;
	else if (BPF_OP(code) == BPF_OR)
		*a |= v;
	else if (BPF_OP(code) == BPF_XOR)
		*a ^= v;
	else if (BPF_OP(code) == BPF_LSH)
		*a = (uint32_t)((uint64_t)*a << v % 32);
	else if (BPF_OP(code) == BPF_RSH)
		*a = (uint32_t)((uint64_t)*a >> v % 32);
	else
		*a = (uint32_t)(0 - (uint64_t)*a);
	return true;
}

static uint32_t twin_jump(const struct sock_filter *f, uint32_t a, uint32_t v)
{
	bool taken = BPF_OP(f->code) == BPF_JEQ	  ? a == v
		     : BPF_OP(f->code) == BPF_JGT ? a > v
		     : BPF_OP(f->code) == BPF_JGE ? a >= v
						  : a & v;

	return BPF_OP(f->code) == BPF_JA ? f->k : taken ? f->jt : f->jf;
}

/* pre: filter_is_taken(). Memory not stored to reads as zero (the kernel refuses that, too). */
static uint32_t twin_run(const struct sock_filter *f, const uint32_t *data)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = { 0 };

	for (;; f++) {
		uint32_t v = f->code & BPF_X ? x : f->k;

		switch (f->code) {
		case BPF_RET | BPF_K:
			return f->k;
		case BPF_RET | BPF_A:
			return a;
		case BPF_LD | BPF_W | BPF_ABS:
			a = data[f->k / 4];
			break;
		case BPF_LD | BPF_W | BPF_LEN:
			a = sizeof(struct seccomp_data);
			break;
		case BPF_LDX | BPF_W | BPF_LEN:
			x = sizeof(struct seccomp_data);
			break;
		case BPF_LD | BPF_IMM:
			a = f->k;
			break;
		case BPF_LDX | BPF_IMM:
			x = f->k;
			break;
		case BPF_LD | BPF_MEM:
			a = mem[f->k];
			break;
		case BPF_LDX | BPF_MEM:
			x = mem[f->k];
			break;
		case BPF_ST:
			mem[f->k] = a;
			break;
		case BPF_STX:
			mem[f->k] = x;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_MISC | BPF_TXA:
			a = x;
			break;
		default:
			if (BPF_CLASS(f->code) == BPF_JMP)
				f += twin_jump(f, a, v);
			else if (!twin_alu(f->code, &a, v))
				return 0;
		}
	}
}

/* Of random instructions few are taken: bend what is not into something that is. */
static void insn_mend(struct sock_filter *f, uint32_t n_behind)
{
	static const uint16_t common[] = { BPF_LD | BPF_W | BPF_ABS,
					   BPF_JMP | BPF_JEQ | BPF_K,
					   BPF_RET | BPF_K,
					   BPF_ALU | BPF_DIV | BPF_X,
					   BPF_ALU | BPF_AND | BPF_K,
					   BPF_MISC | BPF_TAX,
					   BPF_ST,
					   BPF_LDX | BPF_MEM };

	if (!code_is_taken(f->code))
		f->code = common[f->code % 8];
	if (!n_behind && BPF_CLASS(f->code) != BPF_RET)
		f->code = BPF_RET | BPF_A;
	if (insn_is_taken(f, n_behind))
		return;
	f->k %= 16;
	if (f->code == (BPF_LD | BPF_W | BPF_ABS))
		f->k *= 4;
	else if (f->code == (BPF_JMP | BPF_JA))
		f->k %= n_behind;
	else if (f->code == (BPF_ALU | BPF_DIV | BPF_K))
		f->k++;
	if (BPF_CLASS(f->code) == BPF_JMP) {
		f->jt = (uint8_t)(f->jt % n_behind);
		f->jf = (uint8_t)(f->jf % n_behind);
	}
}

static void check(const struct sock_filter *code, uint32_t n, const struct seccomp_data *data)
{
	uint32_t words[sizeof(*data) / 4], action = 77, again = 78;
	int r = filter_run(code, n, data, &action);

	ASSERT(r == 0 || r == -EINVAL);
	ASSERT(r == filter_run(code, n, data, &again));
	ASSERT(r ? action == 77 && again == 78 : action == again);
	memcpy(words, data, sizeof(words));
	if (filter_is_taken(code, n)) {
		ASSERT(!r);
		ASSERT(action == twin_run(code, words));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	struct fuzz_in in = { data, n_bytes };
	struct sock_filter *code;
	struct seccomp_data call;
	uint32_t n;

	fuzz_take(&in, &call, sizeof(call));
	n = (uint32_t)(in.n_bytes / sizeof(*code));
	if (n > MAX_CODE)
		n = MAX_CODE;
	code = calloc(n ? n : 1, sizeof(*code));
	ASSERT(code);
	fuzz_take(&in, code, n * sizeof(*code));
	check(code, n, &call);
	for (uint32_t i = 0; i < n; i++)
		insn_mend(&code[i], n - i - 1);
	ASSERT(!n || filter_is_taken(code, n));
	check(code, n, &call);
	free(code);
	return 0;
}
