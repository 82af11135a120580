/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Doing harm to the files of a data directory, named by paths below it. Failures fail the test. */
#include "log/base/base.h"

struct log_files {
	struct io *io;
	const char *dir;
};
/* In one of four static buffers. */
const char *log_files_path(const struct log_files *f, const char *name);
/* "topics/DIR/<base>SUFFIX", in one of four static buffers. */
const char *log_files_segment(const char *dir, int64_t base, const char *suffix);
uint64_t log_files_size(const struct log_files *f, const char *name);
bool log_files_exist(const struct log_files *f, const char *name);
void log_files_flip(const struct log_files *f, const char *name, uint64_t at, uint8_t mask);
void log_files_resize(const struct log_files *f, const char *name, uint64_t size);
void log_files_unlink(const struct log_files *f, const char *name);
void log_files_unlink_directory(const struct log_files *f, const char *name);
/* The base offset of segment number n of topics/DIR. */
int64_t log_files_base(const struct log_files *f, const char *dir, size_t n);
/* A hash of every name and byte below it, to see that nothing was touched. */
uint64_t log_files_hash(const struct log_files *f);
