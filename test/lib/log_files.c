/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/log_files.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>

#define OK(expr) assert_int_equal((expr), ERR_OK)
enum { BUFFERS = 4 };

const char *log_files_path(const struct log_files *f, const char *name)
{
	static char path[BUFFERS][4096];
	static unsigned n;
	n = (n + 1) % BUFFERS;
	snprintf(path[n], sizeof(path[n]), "%s/%s", f->dir, name);
	return path[n];
}

const char *log_files_segment(const char *dir, int64_t base, const char *suffix)
{
	static char name[BUFFERS][300];
	static unsigned n;
	n = (n + 1) % BUFFERS;
	snprintf(name[n], sizeof(name[n]), "topics/%s/%020lld%s", dir, (long long)base, suffix);
	return name[n];
}

uint64_t log_files_size(const struct log_files *f, const char *name)
{
	struct io_stat stat;
	OK(io_stat(f->io, log_files_path(f, name), &stat));
	return stat.size_bytes;
}

bool log_files_exist(const struct log_files *f, const char *name)
{
	struct io_stat stat;
	bool there = io_stat(f->io, log_files_path(f, name), &stat) == ERR_OK;
	err_clear();
	return there;
}

void log_files_flip(const struct log_files *f, const char *name, uint64_t at, uint8_t mask)
{
	int fd;
	uint8_t byte;
	OK(io_open(f->io, log_files_path(f, name), 0, &fd));
	OK(io_pread_all(f->io, fd, &byte, 1, at));
	byte ^= mask;
	OK(io_pwrite(f->io, fd, &byte, 1, at));
	OK(io_close(f->io, fd));
}

void log_files_resize(const struct log_files *f, const char *name, uint64_t size)
{
	int fd;
	OK(io_open(f->io, log_files_path(f, name), 0, &fd));
	OK(io_truncate(f->io, fd, size));
	OK(io_close(f->io, fd));
}

void log_files_unlink(const struct log_files *f, const char *name)
{
	OK(io_unlink(f->io, log_files_path(f, name)));
}

void log_files_unlink_directory(const struct log_files *f, const char *name)
{
	struct io_names names;
	OK(io_list(f->io, log_files_path(f, name), &names));
	for (size_t i = 0; i < names.count; i++) {
		char file[600];
		snprintf(file, sizeof(file), "%s/%s", name, names.name[i]);
		log_files_unlink(f, file);
	}
	io_names_release(&names);
	OK(io_rmdir(f->io, log_files_path(f, name)));
}

int64_t log_files_base(const struct log_files *f, const char *dir, size_t n)
{
	struct io_names names;
	char name[300];
	int64_t base = -1;
	snprintf(name, sizeof(name), "topics/%s", dir);
	OK(io_list(f->io, log_files_path(f, name), &names));
	for (size_t i = 0; i < names.count && base < 0; i++)
		if (strstr(names.name[i], ".log") && n-- == 0)
			base = strtoll(names.name[i], NULL, 10);
	io_names_release(&names);
	assert_true(base >= 0);
	return base;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ b[i]) * UINT64_C(1099511628211); /* FNV-1a */
	return hash;
}

static uint64_t hash_below(const struct log_files *f, const char *name, uint64_t hash)
{
	struct io_names names;
	OK(io_list(f->io, log_files_path(f, name), &names));
	for (size_t i = 0; i < names.count; i++) {
		char child[1024];
		struct io_stat stat;
		struct bytes content;
		snprintf(child, sizeof(child), "%s/%s", name, names.name[i]);
		hash = mix(hash, child, strlen(child));
		OK(io_stat(f->io, log_files_path(f, child), &stat));
		if (stat.is_directory) {
			hash = hash_below(f, child, hash);
			continue;
		}
		OK(io_read_file(f->io, log_files_path(f, child), SIZE_MAX, &content));
		hash = mix(hash, content.ptr, content.len);
		mem_free((void *)(uintptr_t)content.ptr);
	}
	io_names_release(&names);
	return hash;
}

uint64_t log_files_hash(const struct log_files *f)
{
	return hash_below(f, ".", UINT64_C(14695981039346656037));
}
