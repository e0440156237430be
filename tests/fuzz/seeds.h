/* SPDX-License-Identifier: MIT */
/* seeds.h - what the files of the program of seeds share. */
#ifndef SHMBUS_TESTS_SEEDS_H
#define SHMBUS_TESTS_SEEDS_H

#include <stddef.h>
#include <stdint.h>

_Noreturn void seed_fail(const char *what);

/* All of a file in shared memory; the caller frees it. */
void image_read(const char *name, uint8_t **image, size_t *size);

/* Image, then steps (A is the first step, what else an argument, counted from 0); `changes` is put
 * before them. */
void script_save(const char *target, const char *name, const uint8_t *image, size_t size,
		 const char *changes, size_t changes_size, const char *steps);

void checkpoint_seeds(void);

#endif /* SHMBUS_TESTS_SEEDS_H */
