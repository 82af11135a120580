/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A fresh directory under /tmp for one test, and its removal with all that is in it. */

/* The name, in a heap buffer that tempdir_remove releases. Aborts when /tmp cannot be used. */
char *tempdir_new(void);
/* One with what is in `from` now, as kill -9 would leave it. */
char *tempdir_copy(const char *from);
void tempdir_remove(char *path);
