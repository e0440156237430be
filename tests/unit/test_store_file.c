/* SPDX-License-Identifier: MIT */
/* test_store_file.c - files under the checkpoint's name that are no checkpoint, or none of ours. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>

#include "kept.h"

#define FIRST 4096 /* where the first cell is */

/* A store with two cells that count; closed. */
static void two_cells(struct kept *kept, const char *name)
{
	struct cell cell;

	kept_begin(kept, name);
	for (uint64_t i = 1; i <= 2; i++) {
		cell = kept_take(kept, i);
		kept_write(kept, &cell, i * 10);
	}
	store_commit(&kept->store);
	store_close(&kept->store);
}

static void poke(const struct kept *kept, uint64_t offset, uint64_t value, size_t size)
{
	int fd = open(kept->path, O_WRONLY);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, &value, size, (off_t)offset), (ssize_t)size);
	close(fd);
}

static ino_t inode_of(const char *path)
{
	struct stat status;

	cr_assert_eq(lstat(path, &status), 0, "%s", path);
	return status.st_ino;
}

/* It is kept under another name, and a new one is as good as any. */
static void put_aside(struct kept *kept, const char *word)
{
	ino_t inode = inode_of(kept->path);
	struct cell cell;

	cr_assert_eq(store_open(&kept->store, kept->bus), 0, "%s", word);
	cr_assert_not_null(strstr(kept->store.reason, word), "\"%s\" lacks \"%s\"",
			   kept->store.reason, word);
	cr_assert_not_null(strstr(kept->store.reason, kept->aside), "%s", kept->store.reason);
	cr_assert_eq(inode_of(kept->aside), inode);
	cr_assert_null(store_next(&kept->store, NULL, &cell));
	cell = kept_take(kept, 5);
	kept_write(kept, &cell, 50);
	store_commit(&kept->store);
	kept_reopen(kept);
	kept_expect(kept, 1, 5, 50);
	kept_end(kept);
}

#define CELL(member) (FIRST + offsetof(struct cell_header, member))

Test(store_file, damaged)
{
	static const struct {
		const char *what;
		uint64_t offset;
		size_t size;
		uint64_t value;
	} cases[] = {
		{"magic", offsetof(struct store_header, magic), 8, 0x1234},
		{"magic gone, cells there", offsetof(struct store_header, magic), 8, 0},
		{"nothing used", offsetof(struct store_header, used), 8, 0},
		{"used in the header", offsetof(struct store_header, used), 8, FIRST - 1},
		{"used beyond the file", offsetof(struct store_header, used), 8, (1 << 20) + 64},
		{"used far beyond", offsetof(struct store_header, used), 8, UINT64_MAX},
		{"used within a cell", offsetof(struct store_header, used), 8, FIRST + 300},
		{"used within a cell's header", offsetof(struct store_header, used), 8, FIRST + 8},
		{"a cell without a size", CELL(size), 8, 0},
		{"a cell too small", CELL(size), 8, 128},
		{"a size of no class", CELL(size), 8, 257},
		{"a cell beyond what is used", CELL(size), 8, 1 << 20},
		{"a cell too large", CELL(size), 8, UINT64_C(1) << 40},
		{"a cell of all sizes", CELL(size), 8, UINT64_MAX},
		{"constant part beyond the cell", CELL(constant_size), 4, 4096},
		{"constant part of all sizes", CELL(constant_size), 4, UINT32_MAX},
		{"copies beyond the cell", CELL(copy_size), 4, 4096},
		{"copies of all sizes", CELL(copy_size), 4, UINT32_MAX},
		{"copies too small for what they hold", CELL(copy_size), 4, 7},
		{"body beyond the cell", CELL(body_size), 8, 4096},
		{"body of all sizes", CELL(body_size), 8, UINT64_MAX},
		{"body that wraps around", CELL(body_size), 8, UINT64_MAX - 63},
		{"more in the copy than it has", CELL(copies[1].size), 4, 9},
		{"a kind that there is not", CELL(copies[1].kind), 4, CELL_KINDS},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct kept kept;

		two_cells(&kept, "d");
		poke(&kept, cases[i].offset, cases[i].value, cases[i].size);
		cr_log_info("%s", cases[i].what);
		put_aside(&kept, "damaged");
	}
}

/* It would be taken again as one of its class, which are larger. */
Test(store_file, last_cell_of_no_class)
{
	struct kept kept;

	two_cells(&kept, "n");
	poke(&kept, CELL(size), 576, 8);
	poke(&kept, offsetof(struct store_header, used), FIRST + 576, 8);
	put_aside(&kept, "damaged");
}

/* What is in a copy that does not count, or in a cell that is free, is nobody's business. */
Test(store_file, rubbish_that_does_not_count)
{
	struct kept kept;
	struct cell cell;

	two_cells(&kept, "r");
	poke(&kept, CELL(copies[0].kind), UINT32_MAX, 4);
	poke(&kept, CELL(copies[0].size), UINT32_MAX, 4);
	kept_open(&kept);
	cell = kept_expect(&kept, 2, 1, 10);
	cell_drop(&kept.store, &cell);
	store_commit(&kept.store);
	store_close(&kept.store);
	poke(&kept, CELL(constant_size), UINT32_MAX, 4);
	poke(&kept, CELL(body_size), UINT64_MAX, 8);
	kept_open(&kept);
	kept_expect(&kept, 1, 2, 20);
	kept_end(&kept);
}

Test(store_file, of_another_version)
{
	struct kept kept;

	two_cells(&kept, "v");
	poke(&kept, offsetof(struct store_header, version), STORE_VERSION + 1, 4);
	put_aside(&kept, "of another version");
}

Test(store_file, of_another_size)
{
	static const off_t sizes[] = {64, 4096, 8192, (1 << 20) - 4096, (1 << 20) + 1};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct kept kept;

		two_cells(&kept, "s");
		cr_assert_eq(truncate(kept.path, sizes[i]), 0);
		put_aside(&kept, "damaged");
	}
}

/* Cut at a size that a file may have, but cells are beyond. */
Test(store_file, cut_short)
{
	struct kept kept;
	struct cell cell;

	kept_begin(&kept, "c");
	cr_assert(cell_take(&kept.store, &cell, "", 0, 8, 3 << 20));
	kept_write(&kept, &cell, 1);
	store_commit(&kept.store);
	store_close(&kept.store);
	cr_assert_eq(truncate(kept.path, 1 << 20), 0);
	put_aside(&kept, "damaged");
}

/* The agent was killed while it made the file: no word about it. */
Test(store_file, unfinished_is_begun_again)
{
	static const off_t sizes[] = {0, 1, 63, 64, 4096, 1 << 20, 3 << 20};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct kept kept;
		struct cell cell;
		int fd;

		kept_name(&kept, "u");
		fd = open(kept.path, O_RDWR | O_CREAT | O_EXCL, 0600);
		cr_assert_geq(fd, 0);
		cr_assert_eq(ftruncate(fd, sizes[i]), 0);
		close(fd);
		if (sizes[i] >= 64) { /* all but the magic */
			poke(&kept, offsetof(struct store_header, version), STORE_VERSION, 4);
			poke(&kept, offsetof(struct store_header, used), FIRST, 8);
		}
		kept_open(&kept);
		cr_assert_neq(access(kept.aside, F_OK), 0);
		cell = kept_take(&kept, 1);
		kept_write(&kept, &cell, 10);
		store_commit(&kept.store);
		kept_reopen(&kept);
		kept_expect(&kept, 1, 1, 10);
		kept_end(&kept);
	}
}

/* Somebody has copied it, and left out the pages of zeros: they are made sure of before they are
 * used, with an error and not with a signal where there is no room. */
Test(store_file, with_holes)
{
	struct kept kept;
	struct cell cell;
	struct stat status;
	int fd;

	kept_begin(&kept, "s");
	cell = kept_take(&kept, 1);
	kept_write(&kept, &cell, 10);
	store_commit(&kept.store);
	store_close(&kept.store);
	fd = open(kept.path, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 19, 1 << 19),
		     0);
	close(fd);
	kept_open(&kept);
	kept_expect(&kept, 1, 1, 10);
	cr_assert_eq(stat(kept.path, &status), 0);
	cr_assert_geq(status.st_blocks * 512, status.st_size);
	kept_end(&kept);
}

/* ---- what is no file of ours ---- */

Test(store_file, symbolic_link)
{
	struct kept kept, target;

	two_cells(&target, "t");
	kept_name(&kept, "l");
	cr_assert_eq(symlink(target.path, kept.path), 0);
	cr_assert_eq(store_open(&kept.store, kept.bus), -ELOOP);
	cr_assert_not(store_is_open(&kept.store));
	kept_end(&kept);
	kept_open(&target);
	kept_expect(&target, 2, 1, 10);
	kept_end(&target);
}

Test(store_file, fifo_and_directory)
{
	struct kept kept;

	kept_name(&kept, "p");
	cr_assert_eq(mkfifo(kept.path, 0600), 0);
	put_aside(&kept, "damaged");

	kept_name(&kept, "p");
	cr_assert_eq(mkdir(kept.path, 0700), 0);
	cr_assert_eq(store_open(&kept.store, kept.bus), -EISDIR);
	cr_assert_not(store_is_open(&kept.store));
	cr_assert_eq(rmdir(kept.path), 0);
}

Test(store_file, of_another_user)
{
	struct kept kept;
	ino_t inode;

	if (geteuid() != 0)
		cr_skip_test("needs root to make it");
	two_cells(&kept, "o");
	inode = inode_of(kept.path);
	cr_assert_eq(chown(kept.path, 65534, 65534), 0);
	cr_assert_eq(store_open(&kept.store, kept.bus), -EPERM);
	cr_assert_not(store_is_open(&kept.store));
	cr_assert_eq(inode_of(kept.path), inode, "it is left where it is");
	cr_assert_neq(access(kept.aside, F_OK), 0);
	cr_assert_eq(chown(kept.path, 0, 0), 0);
	kept_open(&kept);
	kept_expect(&kept, 2, 2, 20);
	kept_end(&kept);
}
