/* SPDX-License-Identifier: MIT */
/* seeds.h - what the files of the program of seeds share. */
#ifndef SHMBUS_TESTS_SEEDS_H
#define SHMBUS_TESTS_SEEDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

_Noreturn void seed_fail(const char *what);

/* All of a file in shared memory; the caller frees it. */
void image_read(const char *name, uint8_t **image, size_t *size);

/* Image, then steps (A is the first step, what else an argument, counted from 0); `changes` is put
 * before them. */
void script_save(const char *target, const char *name, const uint8_t *image, size_t size,
		 const char *changes, size_t changes_size, const char *steps);

/* A seed's file; ends the process where it cannot be made or written. */
FILE *seed_open(const char *target, const char *name);
void seed_close(FILE *out);

void text_seed(void);
/* Requests to a gateway that shows a document. */
void request_seeds(const char *name, const char *document, size_t size);
void checkpoint_seeds(void);

#endif /* SHMBUS_TESTS_SEEDS_H */
