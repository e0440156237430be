/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the compiler's <stdatomic.h> where the project's own sources are compiled for the
 * model: every atomic operation becomes a call of search.cpp, with the function that it stands in.
 */
#ifndef SHMBUS_TESTS_MODEL_STDATOMIC_H
#define SHMBUS_TESTS_MODEL_STDATOMIC_H

#include "../model.h"

#define _Atomic(T) __typeof__(T)

#define memory_order_relaxed MODEL_RELAXED
#define memory_order_acquire MODEL_ACQUIRE
#define memory_order_release MODEL_RELEASE

#define MODEL_SITE ((struct model_site){__func__, __LINE__})

/* + 0: the word's type without its qualifiers. */
#define atomic_load_explicit(word, order)                                                          \
	((__typeof__(*(word) + 0))model_load((word), (order), MODEL_SITE))
#define atomic_store_explicit(word, value, order)                                                  \
	model_store((word), (uint64_t)(value), (order), MODEL_SITE)
#define atomic_thread_fence(order) model_fence((order), MODEL_SITE)

#endif /* SHMBUS_TESTS_MODEL_STDATOMIC_H */
