/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A disk that does not read in places: the blocking reads of an io fail with ERR_IO for as long as
 * they touch one. One io at a time; single-threaded.
 */
#include "log/base/io.h"

/* `dir` is borrowed: only files below it are bad. */
void bad_sectors_install(struct io *io, const char *dir);
/* Bytes [from, to) of the files whose path ends in `name`; to UINT64_MAX: to the end. Not of one
 * that takes the name later, by a rename. */
void bad_sectors_add(const char *name, uint64_t from, uint64_t to);
/* All sectors are good again. */
void bad_sectors_clear(void);
/* The io as it was. */
void bad_sectors_remove(struct io *io);
/* Reads that failed since the installation. */
unsigned bad_sectors_struck(void);
