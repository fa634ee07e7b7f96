/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * filter-run - see filter-run.h
 *
 * The subset of classic BPF that the kernel takes for seccomp (kernel/seccomp.c,
 * seccomp_check_filter): loads of 32-bit words of struct seccomp_data only. All jumps lead forward,
 * so a run ends after at most @n steps.
 */
#include "agent/filter-run.h"

#include "agent/agent-sys.h"

struct machine {
	uint32_t a;
	uint32_t x;
	uint32_t mem[BPF_MEMWORDS];
};

static int load_run(struct machine *m, const struct sock_filter *f, const struct seccomp_data *data)
{
	uint32_t v;

	switch (BPF_MODE(f->code)) {
	case BPF_ABS:
		if (f->k > sizeof(*data) - sizeof(v) || f->k % sizeof(v))
			return -EINVAL;
		bytes_copy(&v, (const uint8_t *)data + f->k, sizeof(v));
		break;
	case BPF_LEN:
		v = sizeof(*data);
		break;
	case BPF_IMM:
		v = f->k;
		break;
	case BPF_MEM:
		if (f->k >= BPF_MEMWORDS)
			return -EINVAL;
		v = m->mem[f->k];
		break;
	default:
		return -EINVAL;
	}
	if (BPF_CLASS(f->code) == BPF_LD)
		m->a = v;
	else
		m->x = v;
	return 0;
}

enum { ALU_E_DIV_ZERO = 1 };

/* Return: 0; ALU_E_DIV_ZERO: the filter ends here and says 0; -EINVAL. */
static int alu_run(struct machine *m, const struct sock_filter *f)
{
	uint32_t v = BPF_SRC(f->code) == BPF_X ? m->x : f->k;

	switch (BPF_OP(f->code)) {
	case BPF_ADD:
		m->a += v;
		return 0;
	case BPF_SUB:
		m->a -= v;
		return 0;
	case BPF_MUL:
		m->a *= v;
		return 0;
	case BPF_DIV:
		if (!v)
			return BPF_SRC(f->code) == BPF_X ? ALU_E_DIV_ZERO : -EINVAL;
		m->a /= v;
		return 0;
	case BPF_AND:
		m->a &= v;
		return 0;
	case BPF_OR:
		m->a |= v;
		return 0;
	case BPF_XOR:
		m->a ^= v;
		return 0;
	case BPF_LSH:
		m->a <<= v & 31;
		return 0;
	case BPF_RSH:
		m->a >>= v & 31;
		return 0;
	case BPF_NEG:
		m->a = -m->a;
		return 0;
	default:
		return -EINVAL;
	}
}

static int jump_run(const struct machine *m, const struct sock_filter *f, uint32_t *pc)
{
	uint32_t v = BPF_SRC(f->code) == BPF_X ? m->x : f->k;
	bool taken;

	switch (BPF_OP(f->code)) {
	case BPF_JA:
		*pc += f->k;
		return 0;
	case BPF_JEQ:
		taken = m->a == v;
		break;
	case BPF_JGT:
		taken = m->a > v;
		break;
	case BPF_JGE:
		taken = m->a >= v;
		break;
	case BPF_JSET:
		taken = (m->a & v) != 0;
		break;
	default:
		return -EINVAL;
	}
	*pc += taken ? f->jt : f->jf;
	return 0;
}

int filter_run(const struct sock_filter *code, uint32_t n, const struct seccomp_data *data,
	       uint32_t *ret_action)
{
	struct machine m = { 0 };
	uint32_t pc = 0;
	int r = 0;

	while (!r && pc < n) {
		const struct sock_filter *f = &code[pc++];

		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
		case BPF_LDX:
			r = load_run(&m, f, data);
			break;
		case BPF_ST:
		case BPF_STX:
			if (f->k >= BPF_MEMWORDS)
				return -EINVAL;
			m.mem[f->k] = BPF_CLASS(f->code) == BPF_ST ? m.a : m.x;
			break;
		case BPF_ALU:
			r = alu_run(&m, f);
			if (r == ALU_E_DIV_ZERO) {
				*ret_action = 0;
				return 0;
			}
			break;
		case BPF_JMP:
			if (BPF_OP(f->code) == BPF_JA && f->k >= n)
				return -EINVAL;
			r = jump_run(&m, f, &pc);
			break;
		case BPF_RET:
			*ret_action = BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
			return 0;
		case BPF_MISC:
			if (BPF_MISCOP(f->code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
			break;
		}
	}
	return -EINVAL;
}
