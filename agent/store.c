/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmbus/layout.h>

#include "kill_point.h"
#include "store.h"

#define FIRST_CELL 4096u
#define SIZE_FIRST (1u << 20)
#define SIZE_STEP_MIN (1u << 18)
#define CELL_SIZE_MIN 256u
#define CELL_SIZE_MAX (UINT64_C(1) << 32)
#define RESERVED_MAX (UINT64_C(1) << 38)
#define RESERVED_MIN (UINT64_C(1) << 26)

/* ---- sizes: 256, 320, 384, 448, 512, 640, ... ---- */

static uint32_t class_of(uint64_t size)
{
	uint32_t exponent, quarter;

	if (size <= CELL_SIZE_MIN)
		return 0;
	exponent = 63u - (uint32_t)__builtin_clzll(size - 1);
	quarter = (uint32_t)((size - 1) >> (exponent - 2)) & 3;
	return (exponent - 8) * 4 + quarter + 1;
}

static uint64_t class_size(uint32_t class)
{
	return (UINT64_C(4) + class % 4) << (6 + class / 4);
}

static uint64_t round_line(uint64_t size)
{
	return (size + 63) & ~UINT64_C(63);
}

/* ---- the file ---- */

/* Maps the file up to `size`, which it has, at its fixed place. */
static int file_map(struct store *store, uint64_t size, int flags)
{
	void *map;

	if (size > store->reserved)
		return -ENOMEM;
	map = mmap(store->base + store->size, size - store->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED | flags, store->fd, (off_t)store->size);
	if (map == MAP_FAILED)
		return -errno;
	store->size = size;
	return 0;
}

/* Makes the file larger. Shared memory that is full says so here, not with a signal at some later
 * store. All that is new is written soon. */
static int file_extend(struct store *store, uint64_t size)
{
	int error;

	if (size > store->reserved)
		return -ENOMEM;
	do
		error = posix_fallocate(store->fd, (off_t)store->size, (off_t)(size - store->size));
	while (error == EINTR);
	return error != 0 ? -error : file_map(store, size, MAP_POPULATE);
}

static int space_reserve(struct store *store)
{
	uint64_t size = RESERVED_MAX;
	void *base;

	for (; size >= RESERVED_MIN; size /= 2) {
		/* As much is left for all else. */
		base = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			    -1, 0);
		if (base == MAP_FAILED)
			continue;
		munmap((uint8_t *)base + size, size);
		store->base = base;
		store->reserved = size;
		return 0;
	}
	return -ENOMEM;
}

static struct cell_header *cell_at(const struct store *store, uint64_t offset)
{
	return (struct cell_header *)(store->base + offset);
}

static uint64_t offset_of(const struct store *store, const struct cell_header *header)
{
	return (uint64_t)((const uint8_t *)header - store->base);
}

static void free_push(struct store *store, struct cell_header *header)
{
	uint32_t class = class_of(header->size);

	header->next_free = store->free[class];
	store->free[class] = offset_of(store, header);
}

/* The copy that counts, or -1. */
static int copy_counting(const struct cell_header *header, uint64_t epoch)
{
	int found = -1;

	for (int i = 0; i < 2; i++) {
		uint64_t at = header->copies[i].epoch;

		if (at != 0 && at <= epoch && (found < 0 || at > header->copies[found].epoch))
			found = i;
	}
	return found;
}

static bool cell_valid(const struct store *store, uint64_t offset, uint64_t used)
{
	const struct cell_header *header = cell_at(store, offset);

	return header->size >= CELL_SIZE_MIN && header->size <= CELL_SIZE_MAX &&
	       header->size == class_size(class_of(header->size)) && header->size <= used - offset;
}

/* The parts of a cell that counts lie within it. */
static bool parts_valid(const struct cell_header *header, int copy)
{
	uint64_t needed = sizeof *header + round_line(header->constant_size) +
			  2 * round_line(header->copy_size);

	return header->copies[copy].kind < CELL_KINDS &&
	       header->copies[copy].size <= header->copy_size && needed <= header->size &&
	       header->body_size <= header->size - needed;
}

/* What the last agent wrote and did not commit must not count with the next commit. */
static void copies_settle(struct cell_header *header, uint64_t epoch)
{
	for (int i = 0; i < 2; i++)
		if (header->copies[i].epoch > epoch)
			header->copies[i].epoch = 0;
}

/* Looks at every cell; those that do not count are free. False: the file makes no sense. */
static bool cells_check(struct store *store)
{
	uint64_t epoch = atomic_load_explicit(&store->header->epoch, memory_order_relaxed);
	uint64_t used = atomic_load_explicit(&store->header->used, memory_order_relaxed);
	uint64_t offset = FIRST_CELL;

	if (used < FIRST_CELL || used > store->size || epoch > UINT64_MAX / 2)
		return false;
	while (offset < used) {
		struct cell_header *header = cell_at(store, offset);
		int copy;

		if (used - offset < sizeof *header || !cell_valid(store, offset, used))
			return false;
		copies_settle(header, epoch);
		copy = copy_counting(header, epoch);
		if (copy >= 0 && header->copies[copy].kind != CELL_FREE &&
		    !parts_valid(header, copy))
			return false;
		if (copy < 0 || header->copies[copy].kind == CELL_FREE)
			free_push(store, header);
		offset += header->size;
	}
	return true;
}

static int file_make(struct store *store)
{
	int error = ftruncate(store->fd, 0) != 0 ? -errno : file_extend(store, SIZE_FIRST);

	if (error != 0)
		return error;
	store->header = (struct store_header *)store->base;
	store->header->version = STORE_VERSION;
	store->header->header_size = FIRST_CELL;
	atomic_store_explicit(&store->header->epoch, 1, memory_order_relaxed);
	atomic_store_explicit(&store->header->used, FIRST_CELL, memory_order_relaxed);
	/* Last: a file without it is one that was never finished, and is begun again. */
	store->header->magic = STORE_MAGIC;
	return 0;
}

/* A file whose making was not finished has no magic yet, and no cells. */
static bool file_unfinished(const struct store *store)
{
	struct store_header header = {0};
	ssize_t got = pread(store->fd, &header, sizeof header, 0);

	return got < (ssize_t)sizeof header || (header.magic == 0 && header.used <= FIRST_CELL);
}

/* Whether the file has no holes: it was made by file_extend(), and nobody has copied it since. */
static bool file_reserved(const struct store *store, uint64_t size)
{
	struct stat status;

	return fstat(store->fd, &status) == 0 && (uint64_t)status.st_blocks * 512 >= size;
}

/* Takes up a file that an agent left. Returns 0, -EPROTO for another version, -EBADMSG for a
 * damaged one, or -errno. */
static int file_load(struct store *store, uint64_t size)
{
	int error;

	if (file_unfinished(store))
		return file_make(store);
	if (size < SIZE_FIRST || size % 4096 != 0)
		return -EBADMSG;
	/* Without MAP_POPULATE: what is there is read first, and a fault that reads maps the
	 * pages around it as well. */
	error = file_reserved(store, size) ? file_map(store, size, 0) : file_extend(store, size);
	if (error != 0)
		return error;
	store->header = (struct store_header *)store->base;
	if (store->header->magic == STORE_MAGIC && store->header->version != STORE_VERSION)
		return -EPROTO;
	if (store->header->magic != STORE_MAGIC || !cells_check(store))
		return -EBADMSG;
	return 0;
}

static void space_release(struct store *store)
{
	if (store->base != NULL)
		munmap(store->base, store->reserved);
	if (store->fd >= 0)
		close(store->fd);
	store->base = NULL;
	store->header = NULL;
	store->fd = -1;
	store->size = 0;
	memset(store->free, 0, sizeof store->free);
}

/* Opens or makes the file and maps it; *size is what it had. */
static int file_open(struct store *store, uint64_t *size)
{
	struct stat status;
	int error;

	store->fd = open(store->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (store->fd < 0)
		return -errno;
	if (fstat(store->fd, &status) != 0 || !S_ISREG(status.st_mode))
		return -EBADMSG;
	if (status.st_uid != geteuid())
		return -EPERM;
	*size = (uint64_t)status.st_size;
	store->found = status.st_size != 0;
	error = space_reserve(store);
	return error;
}

static int aside(struct store *store, int why)
{
	char path[sizeof store->path + 8];
	uint64_t size;
	int error;

	snprintf(path, sizeof path, "%s.aside", store->path);
	if (rename(store->path, path) != 0)
		return -errno;
	snprintf(store->reason, sizeof store->reason,
		 "the last agent's checkpoint is %s: kept as %s, begun anew",
		 why == -EPROTO ? "of another version" : "damaged", path);
	space_release(store);
	error = file_open(store, &size);
	if (error == 0)
		error = file_make(store);
	return error;
}

static void path_make(const char *bus, char *out, size_t size)
{
	snprintf(out, size, "/dev/shm/" SHMBUS_PREFIX "%s." SHMBUS_CHECKPOINT_SUFFIX, bus);
}

size_t store_size(const char *bus)
{
	char path[sizeof((struct store *)NULL)->path];
	struct stat status;

	path_make(bus, path, sizeof path);
	return lstat(path, &status) == 0 && S_ISREG(status.st_mode) ? (size_t)status.st_blocks * 512
								    : 0;
}

int store_open(struct store *store, const char *bus)
{
	uint64_t size = 0;
	int error;

	memset(store, 0, sizeof *store);
	path_make(bus, store->path, sizeof store->path);
	error = file_open(store, &size);
	if (error == 0)
		error = file_load(store, size);
	if (error == -EPROTO || error == -EBADMSG)
		error = aside(store, error);
	if (error != 0)
		space_release(store);
	return error;
}

void store_close(struct store *store)
{
	space_release(store);
}

/* ---- cells ---- */

struct cell_header *store_next(struct store *store, struct cell_header *header, struct cell *cell)
{
	uint64_t epoch, used, offset;

	if (store->header == NULL)
		return NULL;
	epoch = atomic_load_explicit(&store->header->epoch, memory_order_relaxed);
	used = atomic_load_explicit(&store->header->used, memory_order_relaxed);
	offset = header != NULL ? offset_of(store, header) + header->size : FIRST_CELL;
	for (; offset < used; offset += header->size) {
		int copy;

		header = cell_at(store, offset);
		copy = copy_counting(header, epoch);
		if (copy < 0 || header->copies[copy].kind == CELL_FREE)
			continue;
		*cell = (struct cell){header, header->copies[copy].epoch, (uint32_t)copy};
		return header;
	}
	return NULL;
}

/* What the file grows by. It holds memory that nobody else has, so not by much. */
static uint64_t size_step(uint64_t size)
{
	uint64_t step = size / 32 & ~UINT64_C(4095);

	return step > SIZE_STEP_MIN ? step : SIZE_STEP_MIN;
}

/* A new cell at the end of what is used. */
static struct cell_header *cell_append(struct store *store, uint64_t size)
{
	uint64_t used = atomic_load_explicit(&store->header->used, memory_order_relaxed);
	uint64_t wanted = store->size;
	struct cell_header *header;

	while (wanted - used < size)
		wanted += size_step(wanted);
	if (wanted != store->size && file_extend(store, wanted) != 0)
		return NULL;
	header = cell_at(store, used);
	memset(header, 0, sizeof *header);
	header->size = size;
	kill_point(KILL_EXTEND);
	/* release: a file that counts the cell has its size. */
	atomic_store_explicit(&store->header->used, used + size, memory_order_release);
	return header;
}

bool cell_take(struct store *store, struct cell *cell, const void *constant, uint32_t constant_size,
	       uint32_t copy_size, uint64_t body_size)
{
	uint64_t size = sizeof(struct cell_header) + round_line(constant_size) +
			2 * round_line(copy_size) + body_size;
	uint32_t class = class_of(size);
	struct cell_header *header;

	*cell = (struct cell){0};
	if (store->header == NULL || size > CELL_SIZE_MAX / 2)
		return false;
	if (store->free[class] != 0) {
		header = cell_at(store, store->free[class]);
		store->free[class] = header->next_free;
	} else {
		header = cell_append(store, class_size(class));
	}
	if (header == NULL) {
		store->failures++;
		return false;
	}
	/* As long as no write to it is committed the cell is free, whatever is in it. */
	header->constant_size = constant_size;
	header->copy_size = copy_size;
	header->body_size = body_size;
	memcpy(header + 1, constant, constant_size);
	cell->header = header;
	cell->last = header->copies[1].epoch > header->copies[0].epoch;
	cell->epoch = header->copies[cell->last].epoch;
	return true;
}

static uint8_t *copy_at(const struct cell_header *header, uint32_t copy)
{
	return (uint8_t *)(header + 1) + round_line(header->constant_size) +
	       copy * round_line(header->copy_size);
}

static uint64_t epoch_next(const struct store *store)
{
	return atomic_load_explicit(&store->header->epoch, memory_order_relaxed) + 1;
}

void *cell_write(struct store *store, struct cell *cell, enum cell_kind kind, uint32_t size)
{
	uint64_t epoch = epoch_next(store);
	struct cell_copy *copy;

	assert(size <= cell->header->copy_size);
	/* A second write before a commit replaces the first one. */
	if (cell->epoch != epoch)
		cell->last ^= 1;
	cell->epoch = epoch;
	copy = &cell->header->copies[cell->last];
	copy->epoch = epoch;
	copy->kind = kind;
	copy->size = size;
	kill_point(KILL_WRITE);
	return copy_at(cell->header, cell->last);
}

const void *cell_read(const struct cell *cell, uint32_t *size)
{
	*size = cell->header->copies[cell->last].size;
	return copy_at(cell->header, cell->last);
}

enum cell_kind cell_kind(const struct cell *cell)
{
	return (enum cell_kind)cell->header->copies[cell->last].kind;
}

const void *cell_constant(const struct cell *cell)
{
	return cell->header + 1;
}

void *cell_body(const struct cell *cell)
{
	return copy_at(cell->header, 2);
}

void cell_drop(struct store *store, struct cell *cell)
{
	if (cell->header == NULL)
		return;
	cell_write(store, cell, CELL_FREE, 0);
	cell->header->next_free = store->freed != NULL ? offset_of(store, store->freed) : 0;
	store->freed = cell->header;
	*cell = (struct cell){0};
}

void store_commit(struct store *store)
{
	if (store->header == NULL)
		return;
	kill_point(KILL_COMMIT);
	/* release: all writes of this epoch stand before it, whatever happens to the agent. */
	atomic_store_explicit(&store->header->epoch, epoch_next(store), memory_order_release);
	/* And no write that comes after it, to a copy that counted until now, stands before it. A
	 * release says nothing of those, and a killed thread has done what the program has before
	 * some instruction and nothing of what comes after: only the compiler must be kept from
	 * moving them, which a signal fence is for. */
	atomic_signal_fence(memory_order_seq_cst);
	kill_point(KILL_COMMITTED);
	while (store->freed != NULL) {
		struct cell_header *header = store->freed;

		store->freed = header->next_free != 0 ? cell_at(store, header->next_free) : NULL;
		free_push(store, header);
	}
}
