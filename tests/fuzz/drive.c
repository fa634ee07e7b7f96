// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The driver where libFuzzer is not: each corpus file as it is, then seeded mutations of them.
 *
 *     fuzz-NAME N_RUNS DIR     the corpus in DIR and N_RUNS mutations
 *     fuzz-NAME FILE           one input: to play a failure again
 *
 * The seed is printed and comes from USWAP_TEST_SEED, else it is always the same. The input that
 * failed is printed in hex.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz.h"

#define MAX_FILES 256u

struct input {
	uint8_t bytes[FUZZ_MAX_BYTES];
	size_t n_bytes;
};

static struct input corpus[MAX_FILES];
static uint32_t n_corpus;
static struct input now;
static uint64_t rng;

static uint64_t rng_next(void)
{
	uint64_t z = rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static size_t rng_below(size_t n)
{
	return n ? (size_t)(rng_next() % n) : 0;
}

/* ---- failures ------------------------------------------------------------------------------- */

static void print_input(void)
{
	static const char digits[] = "0123456789abcdef";
	static const char head[] = "\nfuzz: the input, in hex (xxd -r -p > FILE):\n";
	static char text[2 * FUZZ_MAX_BYTES + 1];
	size_t n = 0;

	for (size_t i = 0; i < now.n_bytes; i++) {
		text[n++] = digits[now.bytes[i] >> 4];
		text[n++] = digits[now.bytes[i] & 15];
	}
	text[n++] = '\n';
	if (write(STDERR_FILENO, head, sizeof(head) - 1) > 0 && write(STDERR_FILENO, text, n) < 0)
		_exit(1);
}

static void on_signal(int sig)
{
	print_input();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* AddressSanitizer ends the process without a signal. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*fn)(void));

static void watch_failures(void)
{
	static const int sigs[] = { SIGABRT, SIGALRM };

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		signal(sigs[i], on_signal);
	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(print_input);
		return;
	}
	signal(SIGSEGV, on_signal);
	signal(SIGBUS, on_signal);
	signal(SIGFPE, on_signal);
}

/* ---- mutations ------------------------------------------------------------------------------ */

static void bytes_insert(size_t at, const uint8_t *src, size_t n)
{
	if (n > FUZZ_MAX_BYTES - now.n_bytes)
		n = FUZZ_MAX_BYTES - now.n_bytes;
	memmove(now.bytes + at + n, now.bytes + at, now.n_bytes - at);
	memcpy(now.bytes + at, src, n);
	now.n_bytes += n;
}

static void bytes_delete(size_t at, size_t n)
{
	memmove(now.bytes + at, now.bytes + at + n, now.n_bytes - at - n);
	now.n_bytes -= n;
}

/* Where checks have their borders. */
static uint64_t border(void)
{
	static const uint64_t values[] = { 0,	 1,	    2,		7,	   8,
					   64,	 100,	    255,	256,	   257,
					   512,	 1023,	    1024,	4095,	   4096,
					   8192, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX };

	return values[rng_below(sizeof(values) / sizeof(values[0]))] + rng_below(3) - 1;
}

static void write_border(void)
{
	size_t n = (size_t)1 << rng_below(4);
	uint64_t v = border();

	if (now.n_bytes >= n)
		memcpy(now.bytes + rng_below(now.n_bytes - n + 1), &v, n);
}

static void insert_some(void)
{
	const struct input *other = &corpus[rng_below(n_corpus)];
	uint8_t fresh[16];
	size_t at;

	if (other->n_bytes && rng_below(2)) {
		at = rng_below(other->n_bytes);
		bytes_insert(rng_below(now.n_bytes + 1), other->bytes + at,
			     1 + rng_below(other->n_bytes - at));
		return;
	}
	for (size_t i = 0; i < sizeof(fresh); i++)
		fresh[i] = (uint8_t)rng_next();
	bytes_insert(rng_below(now.n_bytes + 1), fresh, 1 + rng_below(sizeof(fresh)));
}

static void mutate_once(void)
{
	uint8_t chunk[64];
	size_t at = rng_below(now.n_bytes), n;

	switch (rng_below(now.n_bytes ? 7 : 1)) {
	case 0:
		insert_some();
		break;
	case 1:
		now.bytes[at] ^= (uint8_t)(1u << rng_below(8));
		break;
	case 2:
		now.bytes[at] = (uint8_t)rng_next();
		break;
	case 3:
		now.bytes[at] = (uint8_t)(now.bytes[at] + rng_below(9) - 4);
		break;
	case 4:
		bytes_delete(at, 1 + rng_below(now.n_bytes - at < 16 ? now.n_bytes - at : 16));
		break;
	case 5:
		write_border();
		break;
	case 6: /* repeat */
		n = 1 + rng_below(now.n_bytes - at < 64 ? now.n_bytes - at : 64);
		memcpy(chunk, now.bytes + at, n);
		bytes_insert(rng_below(now.n_bytes + 1), chunk, n);
		break;
	}
}

/* ---- running -------------------------------------------------------------------------------- */

/* In memory of exactly its size, so that a sanitizer sees a read past its end. */
static void run(void)
{
	uint8_t *copy = malloc(now.n_bytes ? now.n_bytes : 1);

	ASSERT(copy);
	memcpy(copy, now.bytes, now.n_bytes);
	alarm(60);
	(void)LLVMFuzzerTestOneInput(copy, now.n_bytes);
	free(copy);
}

static bool file_read(const char *path, struct input *ret)
{
	FILE *f = fopen(path, "rb");

	if (!f)
		return false;
	ret->n_bytes = fread(ret->bytes, 1, sizeof(ret->bytes), f);
	fclose(f);
	return true;
}

static int name_cmp(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* not as the locale sorts */
}

static int corpus_read(const char *dir)
{
	struct dirent **names;
	char path[PATH_MAX];
	int n = scandir(dir, &names, NULL, name_cmp);

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && n_corpus < MAX_FILES &&
		    file_read(path, &corpus[n_corpus]))
			n_corpus++;
		free(names[i]);
	}
	free(names);
	return n_corpus ? 0 : -ENOENT;
}

int main(int argc, char **argv)
{
	const char *seed = getenv("USWAP_TEST_SEED");
	uint64_t n_runs;

	watch_failures();
	if (argc == 2 && file_read(argv[1], &now)) {
		run();
		return 0;
	}
	if (argc != 3 || corpus_read(argv[2])) {
		fprintf(stderr, "usage: %s N_RUNS DIR | FILE\n", argv[0]);
		return 1;
	}
	n_runs = strtoull(argv[1], NULL, 0);
	rng = seed ? strtoull(seed, NULL, 0) : 1;
	printf("seed: USWAP_TEST_SEED=%" PRIu64 "\n", rng);
	fflush(stdout);
	for (uint32_t i = 0; i < n_corpus; i++) {
		now = corpus[i];
		run();
	}
	for (uint64_t i = 0; i < n_runs; i++) {
		now = corpus[rng_below(n_corpus)];
		for (size_t k = 1 + rng_below(8); k; k--)
			mutate_once();
		run();
	}
	printf("%u files, %" PRIu64 " mutations\n", n_corpus, n_runs);
	return 0;
}
