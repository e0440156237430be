/* SPDX-License-Identifier: MIT */
/*
 * model.h - a search through the executions that C11's memory model allows, over the sources as
 * they are.
 *
 * search.cpp drives Relacy: it runs the threads of a case again and again, switches between them
 * at every atomic operation, lets a load return any value that the memory model allows, and looks
 * for data races with vector clocks. The sources are compiled as C with shim/stdatomic.h in the
 * place of the compiler's.
 *
 * Relacy executes each thread in its order: a load never sees a store that is made later. What
 * only such an execution would break (a slot overwritten before it was read) is found as a data
 * race: words that the protocol orders by other words are declared with model_ordered().
 *
 * Each edge of the sources is weakened to relaxed in turn, by the function that it stands in; some
 * case must then fail. An acquire or release that no edge is listed for is a failure too.
 */
#ifndef SHMBUS_TESTS_MODEL_H
#define SHMBUS_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_THREADS 2
#define MODEL_MEMORY 65536

#ifdef __cplusplus
extern "C" {
#endif

enum model_order { MODEL_RELAXED, MODEL_ACQUIRE, MODEL_RELEASE };

struct model_case {
	const char *name;
	void (*before)(void); /* zeroed memory and declared words; plain code */
	void (*threads[MODEL_THREADS])(void);
	void (*after)(void); /* all is visible; what must hold at the end */
};

/* Those of one order in one function stand in the table as they come in the function. */
struct model_edge {
	const char *name;
	const char *function;
	enum model_order order;
};

/* Where an operation stands in the sources. */
struct model_site {
	const char *function;
	int line;
};

/* What a file of cases defines; `executions` is in all, at least. */
extern const struct model_case model_cases[];
extern const size_t model_case_count;
extern const struct model_edge model_edges[];
extern const size_t model_edge_count;
extern const uint64_t model_executions;

/* What the threads share; zeroed before each execution. */
extern uint8_t model_memory[MODEL_MEMORY];

/* In before(): a word of the shared memory that is an atomic of its own right, with the value that
 * is there. */
#define model_atomic(word) model_atomic_at((word), sizeof *(word), *(word))
void model_atomic_at(const volatile void *word, size_t size, uint64_t value);

/* In before(): a word that is always ordered by others, so that unordered accesses are a data race;
 * or the first word of a plain object of which that is true. */
void model_ordered(const volatile void *word);

/* The plain object that begins here is written by this thread. */
void model_written(const volatile void *object);

/* Copies as the kernel does for pread(2): plain loads of atomics and of plain objects. */
void model_copy(void *out, const void *from, size_t size);

uint64_t model_load(const volatile void *word, enum model_order order, struct model_site site);
void model_store(volatile void *word, uint64_t value, enum model_order order,
		 struct model_site site);
void model_fence(enum model_order order, struct model_site site);

/* Fails the execution. */
void model_check(bool condition, const char *text);

#ifdef __cplusplus
}
#endif

#endif /* SHMBUS_TESTS_MODEL_H */
